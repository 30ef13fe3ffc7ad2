"""What a tenant's site may not say, and the limits that it may not pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luisito.core.rlimits import exceeds
from luisito.core.routing import Pattern
from luisito.core.webhook import Target
from luisito.settings.hooks import is_webhook
from luisito.settings.sites.processes import WITH
from luisito.settings.sites.readers import KEEP
from luisito.settings.sites.table import KEYS, LIMITS
from luisito.settings.sites.toml import assignment, failed

if TYPE_CHECKING:
    from luisito.core.rlimits import Limit
    from luisito.settings import Settings
    from luisito.settings.sites.draft import Draft
    from luisito.settings.sites.tenants import Tenant


def judge(draft: Draft, tenant: Tenant, settings: Settings) -> None:
    """Refuses what a tenant may not have, and gives the draft the caps on what it leaves out.

    Args:
        draft: of the site.
        tenant: to whom its file belongs.
        settings: what is true of all sites; a tenant has no more where no cap is written.

    Raises:
        SiteFileError: the file says something that it may not.
    """
    _judge_user(draft, tenant)
    _judge_hosts(draft, tenant)
    _judge_keep(draft, tenant)
    _judge_processes(draft, tenant)
    _judge_workers(draft, tenant)
    _judge_hooks(draft, tenant)
    for key in LIMITS:
        _cap(draft, key, tenant, getattr(settings, key))
    _cap_rlimits(draft, tenant, settings)


def _judge_user(draft: Draft, tenant: Tenant) -> None:
    own: dict[str, tuple[str | int, ...]] = {
        "user": (tenant.user, tenant.uid),
        "group": (tenant.group, tenant.gid),
    }
    for key, allowed in own.items():
        if key in draft.values and draft.values[key] not in allowed:
            must = f'must be "{allowed[0]}", as the file belongs to {tenant.user}'
            raise draft.error((key,), must, assignment((key,), allowed[0]))
    if draft.values.get("default"):
        raise draft.error(("default",), "must not be set by a tenant")
    if draft.values.get("listen"):
        raise draft.error(("listen",), "must not be set by a tenant")


def _judge_workers(draft: Draft, tenant: Tenant) -> None:
    if tenant.grant.caps.get("keep") == KEEP[-1]:
        return
    for index, one in enumerate(draft.values.get("process", ())):
        if one.lives_with != WITH[0]:
            must = f'must be "{WITH[0]}", as TENANTS grants {tenant.user} no keep = "{KEEP[-1]}"'
            path = ("process", index, "with")
            raise draft.error(path, must, assignment(path, WITH[0]))


def _judge_hooks(draft: Draft, tenant: Tenant) -> None:
    """Luisito sends for a tenant, from its own place in the network, only where that is granted."""
    for event, hook in draft.values.get("hooks", {}).items():
        origin = draft.origin("hooks", event)
        if not is_webhook(hook) or (origin is not None and origin.owner != tenant.uid):
            continue
        host = Target.parse(hook).host
        if not tenant.grant.may_send_to(host):
            must = f"must not be a webhook at {host}, which TENANTS does not grant {tenant.user}"
            mend = f'ask the operator for "webhooks": ["{host}"] there, or write a command'
            raise draft.error(("hooks", event), must, mend)


def _judge_keep(draft: Draft, tenant: Tenant) -> None:
    most = tenant.grant.caps.get("keep", KEEP[0])
    if KEEP.index(draft.values.get("keep", KEEP[0])) > KEEP.index(most):
        words = " or ".join(f'"{word}"' for word in KEEP[: KEEP.index(most) + 1])
        must = f"must be {words}, as TENANTS grants {tenant.user}"
        raise draft.error(("keep",), must, assignment(("keep",), most))


def _judge_processes(draft: Draft, tenant: Tenant) -> None:
    most = tenant.grant.caps.get("processes", 1)
    if draft.values.get("processes", 1) > most:
        must = f"must be at most {most}, as TENANTS grants {tenant.user} no more"
        raise draft.error(("processes",), must, assignment(("processes",), most))


def _judge_hosts(draft: Draft, tenant: Tenant) -> None:
    grant = tenant.grant
    granted = ", ".join(grant.hosts)
    must = f"must be one of the hosts that TENANTS grants {tenant.user}, {granted}"
    if not grant.allows(Pattern(draft.name, False)):
        raise failed(draft.path, f"its name {must}; rename it, or grant that host in TENANTS")
    for key in ("aliases", "redirects"):
        for index, host in enumerate(draft.values.get(key, ())):
            if not grant.allows(Pattern(host, False)):
                raise draft.error((key, index), must)
    written = draft.values.get("hosts", ())
    exceptions = frozenset(Pattern.parse(one[1:]) for one in written if one.startswith("!"))
    for index, one in enumerate(written):
        if not one.startswith("!") and not grant.allows(Pattern.parse(one), exceptions):
            raise draft.error(
                ("hosts", index), f"{must}; what is not granted must be excepted here, too"
            )


def _cap(draft: Draft, key: str, tenant: Tenant, common: float | None) -> None:
    cap: float | None = tenant.grant.caps.get(key, common)
    if cap is None:
        return
    if key in draft.values:
        if _above(draft.values[key], cap):
            whose = f"as TENANTS grants {tenant.user}"
            if key not in tenant.grant.caps:
                whose = f"the {KEYS[key].setting} of all, as TENANTS grants {tenant.user} no more"
            most = _plain(cap)
            must = f"must be at most {most}, {whose}"
            raise draft.error((key,), must, assignment((key,), most))
    elif _above(common, cap):
        draft.values[key] = cap


def _above(value: float | None, cap: float) -> bool:
    """Whether a limit is above another; None is no limit."""
    return value is None or value > cap


def _plain(number: float) -> float:
    """A number as a person would write it."""
    return int(number) if float(number).is_integer() else number


def _cap_rlimits(draft: Draft, tenant: Tenant, settings: Settings) -> None:
    caps: dict[str, Limit] = {**settings.rlimits, **tenant.grant.caps.get("rlimits", {})}
    written: dict[str, Limit] = draft.values.get("rlimits", {})
    for name, (soft, hard) in written.items():
        path = ("rlimits", name)
        if name not in caps:
            raise draft.error(path, f"must not be set, as TENANTS grants {tenant.user} no {name}")
        most = caps[name][1]
        if exceeds(hard, most):
            lower = most if exceeds(soft, most) else soft
            mend: Any = most if lower == most else [lower, most]
            must = f"must be at most {most}, as TENANTS grants {tenant.user}"
            raise draft.error(path, must, assignment(path, mend))
    common = settings.rlimits
    given = {
        name: cap
        for name, cap in caps.items()
        if name not in common or exceeds(common[name][1], cap[1])
    }
    if given:
        draft.values["rlimits"] = {**given, **written}
