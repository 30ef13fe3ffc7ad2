"""TENANTS: who beside the operator may have site files, for which hosts and up to which limits."""

from __future__ import annotations

import difflib
import grp
import pwd
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from luisito.core.routing import Pattern
from luisito.errors import BadHost
from luisito.settings.values import Wrong, shown

_HOSTS: Final = "hosts"
_WEBHOOKS: Final = "webhooks"
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")  # useradd(8)
_OUTSIDE: Final = ["hooks.example.com"]
_EXAMPLE: Final = {"hosts": ["alice.example", "*.alice.example"]}


@attrs.frozen
class Grant:
    """What a tenant may have.

    Attributes:
        hosts: patterns as in ALLOWED_HOSTS; those after "!" win.
        caps: the largest values of limits, by their keys; None is no limit.
        webhooks: patterns likewise, of the hosts that hooks may send to.
    """

    hosts: tuple[str, ...]
    caps: Mapping[str, Any]
    webhooks: tuple[str, ...] = ()

    def allows(self, asked: Pattern, exceptions: frozenset[Pattern] = frozenset()) -> bool:
        """Whether all hosts of a pattern are granted.

        Args:
            asked: the pattern.
            exceptions: hosts that it leaves out, as the site's file says.
        """
        return _allow(self.hosts, asked, exceptions)

    def may_send_to(self, host: str) -> bool:
        """Whether hooks may send to a host, in its normal form."""
        return _allow(self.webhooks, Pattern(host, False), frozenset())


def _allow(granted: Sequence[str], asked: Pattern, exceptions: frozenset[Pattern]) -> bool:
    covered = False
    for written in granted:
        pattern = Pattern.parse(written.removeprefix("!"))
        if not written.startswith("!"):
            covered |= pattern.covers(asked)
        elif pattern.meets(asked) and not any(one.covers(pattern) for one in exceptions):
            return False
    return covered


@attrs.frozen
class Tenant:
    """A user with a grant, as passwd and group know them.

    Attributes:
        user: the name.
        uid: of the user.
        group: the name of the user's own group.
        gid: of that.
        grant: from TENANTS.
    """

    user: str
    uid: int
    group: str
    gid: int
    grant: Grant


def tenants(value: object) -> dict[str, Grant]:
    """The setting's reader: from users' names to what each is granted."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a dict from users to what they are granted", mend={"alice": _EXAMPLE})
    return {_user(name): _grant(f"[{shown(name)}]", grant) for name, grant in value.items()}


def _user(name: object) -> str:
    if not isinstance(name, str) or not _USER.fullmatch(name):
        raise Wrong(f"has {shown(name)}, which is no user's name", mend={"alice": _EXAMPLE})
    if name == "root":
        raise Wrong('has "root", who may set anything anyway', mend={"alice": _EXAMPLE})
    return name


def _grant(item: str, grant: object) -> Grant:
    if not isinstance(grant, Mapping) or not grant.get(_HOSTS):
        must = 'must be a dict with "hosts" and, if you like, limits'
        raise Wrong(must, item=item, value=grant, mend=_EXAMPLE)
    caps = {
        name: _cap(f"{item}[{shown(name)}]", name, value, item, grant)
        for name, value in grant.items()
        if name not in (_HOSTS, _WEBHOOKS)
    }
    webhooks: tuple[str, ...] = ()
    if _WEBHOOKS in grant:
        webhooks = _webhooks(f'{item}["{_WEBHOOKS}"]', grant[_WEBHOOKS])
    return Grant(_patterns(f'{item}["hosts"]', grant[_HOSTS]), caps, webhooks)


def _webhooks(item: str, written: object) -> tuple[str, ...]:
    """Hosts outside: "*" would be the machine's own and its neighbours, too."""
    patterns = _patterns(item, written, _OUTSIDE)
    for index, pattern in enumerate(patterns):
        if pattern.removeprefix("!") == "*":
            must = "must not be any host, which the machine itself is, too"
            raise Wrong(must, item=f"{item}[{index}]", value=pattern, mend=_OUTSIDE[0])
    return patterns


def _patterns(
    item: str, written: object, example: Sequence[str] = _EXAMPLE[_HOSTS]
) -> tuple[str, ...]:
    if not isinstance(written, list | tuple):
        meant = [written] if isinstance(written, str) else example
        raise Wrong("must be a list of hosts", item=item, value=written, mend=meant)
    for index, pattern in enumerate(written):
        must = "must be a pattern of hosts as in ALLOWED_HOSTS"
        try:
            if not isinstance(pattern, str):
                raise BadHost(must)
            Pattern.parse(pattern.removeprefix("!"))
        except BadHost:
            at = f"{item}[{index}]"
            excepted = isinstance(pattern, str) and pattern.startswith("!")
            mend = "!shop.alice.example" if excepted else "*.alice.example"
            raise Wrong(must, item=at, value=pattern, mend=mend) from None
    if all(pattern.startswith("!") for pattern in written):
        must = 'must have a host without "!" too, or nothing is granted'
        raise Wrong(must, item=item, value=written, mend=[*example, *written])
    return tuple(written)


def _cap(
    item: str, name: object, value: object, above: str, grant: Mapping[object, object]
) -> object:
    # The table of settings has this reader, so it is not there yet when this module is imported.
    from luisito.settings.sites.table import KEYS
    from luisito.settings.table import SETTINGS

    capped = [key for key, known in KEYS.items() if known.capped]
    if name not in capped:
        near = difflib.get_close_matches(
            str(name).lower(), [_HOSTS, _WEBHOOKS, *capped], n=1, cutoff=0.0
        )[0]
        raise Wrong(
            f"has {shown(name)}, which is no limit of a site; the nearest is {shown(near)}",
            item=above,
            value=grant,
            mend={near if key == name else key: cap for key, cap in grant.items()},
        )
    setting = SETTINGS.get(str(name).upper(), KEYS[str(name)])  # `keep` is none of the settings
    try:
        return setting.read(value)
    except Wrong as wrong:
        mend = setting.default if wrong.mend is attrs.NOTHING else wrong.mend
        value = wrong.value if wrong.item else value
        raise Wrong(wrong.must, item=item + wrong.item, value=value, mend=mend) from None


def known(grants: Mapping[str, Grant]) -> dict[int, Tenant]:
    """The tenants by their uids; one who is not in passwd can own no file, and is left out."""
    found: dict[int, Tenant] = {}
    for name, grant in grants.items():
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        try:
            group = grp.getgrgid(user.pw_gid).gr_name
        except KeyError:
            group = str(user.pw_gid)
        found[user.pw_uid] = Tenant(name, user.pw_uid, group, user.pw_gid, grant)
    return found
