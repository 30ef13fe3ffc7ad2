"""What ADMIN_LISTEN answers: the page's files to everybody, all else to whom it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from luisito import __version__
from luisito.control.answers import answer, refuse
from luisito.control.front.files import files
from luisito.control.front.judge import COOKIE, HEADER, Asked, Refusal
from luisito.control.front.sessions import LIFETIME
from luisito.control.roles import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.control.front.guests import GuestRequest
    from luisito.control.front.judge import Judge
    from luisito.control.front.sessions import Secrets
    from luisito.control.front.stream import Shown, Streams
    from luisito.control.roles import Roles

_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    b" require-trusted-types-for 'script'; trusted-types 'none'"
)
_SAFETY: Final = (
    (b"Server", b"Luisito"),
    (b"Content-Security-Policy", _POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
)


class Root(Resource):
    """Answers every request.

    Args:
        api: what the control socket answers.
        judge: says who asks.
        secrets: of the token.
        roles: who is an operator.
        streams: of events.
        shown: has the drawing.
        clock: monotonic, in seconds.
        wall: seconds since the epoch.
    """

    _log = Logger()
    isLeaf = True

    def __init__(
        self,
        api: Resource,
        judge: Judge,
        secrets: Secrets,
        roles: Roles,
        streams: Streams,
        shown: Shown,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        super().__init__()
        self._api, self._judge, self._secrets, self._roles = api, judge, secrets, roles
        self._streams, self._shown = streams, shown
        self._clock, self._wall = clock, wall
        self._files = files()

    def render(self, request: GuestRequest) -> int:
        """See IResource."""
        for name, value in _SAFETY:
            request.setHeader(name, value)
        file = self._files.get(request.path)
        if file is not None and request.method in (b"GET", b"HEAD"):
            file.answer(request)
            return NOT_DONE_YET
        request.setHeader(b"Cache-Control", b"no-store")
        asked = self._asked(request)
        match request.method, request.path:
            case b"POST", b"/login":
                self._log_in(request, asked)
            case b"POST", b"/logout" if asked.field(HEADER) is not None:
                self._set_cookie(request, "", 0)
                answer(request, 200, {})
            case _:
                self._let_in(request, asked)
        return NOT_DONE_YET

    def _asked(self, request: GuestRequest) -> Asked:
        def field(name: str) -> str | None:
            value = request.getHeader(name.encode())
            return None if value is None else value.decode("latin-1")

        return Asked(
            method=request.method.decode("latin-1"),
            field=field,
            whole=request.clientproto == b"HTTP/1.1",
            uid=request.guest.uid,
            who=request.guest.who,
            now=self._clock(),
            at=self._wall(),
        )

    def _let_in(self, request: GuestRequest, asked: Asked) -> None:
        found = self._judge.judge(asked)
        if isinstance(found, Refusal):
            self._refuse(request, found)
            return
        request.rights = found
        match request.method, request.path:
            case b"GET", b"/whoami":
                answer(request, 200, self._told(found))
            case b"GET", b"/advice/drawing" if self._roles.is_operator(found):
                answer(request, 200, self._shown.drawing())
            case b"GET", b"/events/stream":
                if not self._streams.begin(request):
                    self._refuse(request, Refusal(503, "too many look at this at a time"))
            case _:
                self._api.render(request)

    def _told(self, uid: int) -> dict[str, object]:
        return {
            "operator": self._roles.is_operator(uid),
            "uid": None if uid == TOKEN else uid,
            "token": self._secrets.set,
            "version": __version__,
        }

    def _log_in(self, request: GuestRequest, asked: Asked) -> None:
        found: int | Refusal = Refusal(403, "only the page itself logs in")
        if asked.field(HEADER) is not None:
            found = self._judge.token(asked.field("authorization") or "", asked)
        if isinstance(found, Refusal):
            self._refuse(request, found)
            return
        session = self._secrets.session(asked.at)
        self._set_cookie(request, session.cookie, LIFETIME)
        where = request.guest.address or "unix"
        self._log.info("{address}: logged in by ADMIN_TOKEN", address=where)
        answer(request, 200, {"key": session.key})

    def _set_cookie(self, request: GuestRequest, value: str, age: int) -> None:
        # a front server that has TLS says so; nothing is gained by pretending it
        secure = "; Secure" if request.getHeader(b"x-forwarded-proto") == b"https" else ""
        cookie = f"{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
        request.setHeader(b"Set-Cookie", cookie.encode())

    def _refuse(self, request: GuestRequest, found: Refusal) -> None:
        if found.status == 401:
            if request.getHeader(b"authorization") is not None:  # three a second at most
                where = request.guest.address or "unix"
                self._log.info("{address}: has told a wrong ADMIN_TOKEN", address=where)
            request.setHeader(b"WWW-Authenticate", b"Bearer")
        elif found.status == 429:
            request.setHeader(b"Retry-After", b"1")
        refuse(request, found.status, found.why, login=self._secrets.set)
