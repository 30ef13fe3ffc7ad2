"""Lines of the access log: one for each request, from which all can be read back.

An input is a form, the client, how it ended, a request line and header lines, each on a line of its
own; the last is all that is left.
"""

import json
import re
import string

from luisito.core import access
from luisito.core.request import request_line
from luisito.errors import BadMessage, TemplateError

WORDS = (
    b"json|combined|{agent}|{client}|{target}|{end}|{referer}|{{|}}|{|}|{site} {status}|%|%s|%%|"
    b"\n|\""
    b"|\\|\\x0A|\\u000a|\r|\x1b[2J|\x7f|\x80|\xff|GET /|POST /a?b=c HTTP/1.0| HTTP/1.1|?|"
    b"\r\nUser-Agent: |\r\nReferer: https://b/?c|\r\nreferer:|1.2.3.4|the client went away|-"
).split(b"|")  # fmt: skip

# what has no place of its own in a form is not asked for
_FORMS = ("json", "combined", '"{client}" "{end}" "{target}" "{referer}" "{agent}"')
_own = re.compile(r'"([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)"').fullmatch


def run(data: bytes) -> None:
    text, client, end, first, lines = (*data.split(b"\n", 4), b"", b"", b"", b"")[:5]
    form_text = text.decode("utf-8", "replace")
    try:
        access.form(form_text)
    except TemplateError as refused:
        assert str(refused).startswith("must")
    else:
        _line(form_text, client, end, first, lines)
    for form_text in _FORMS:
        _line(form_text, client, end, first, lines)


def _line(text: str, client: bytes, end: bytes, first: bytes, lines: bytes) -> None:
    form = access.form(text)
    asked, target, method = form.nothing, b"", b""
    try:
        line = request_line(first)
    except BadMessage:
        pass
    else:
        method, target = line.method, line.target.partition(b"?")[0]
        asked = form.asked(line.method, line.target, line.minor)
    who = form.who(client, b"a.example", lines if form.of_agents else b"")
    how = form.how(b"cold", 1.5, 0.25, end)
    entry = (b"2024-05-01T12:00:00Z", who, asked, 200, 10, 20, 0.125, 0.25, how)
    written = form.line(entry)
    assert written.endswith(b"\n")
    said = written[:-1].decode()
    assert said.isprintable(), written
    if text == "json":
        read = json.loads(said)
        assert said.isascii()
        found = {name: read[name].encode("latin-1") for name in ("client", "end", "target")}
        assert found == {"client": client, "end": end, "target": target}
        assert read["method"].encode() == method
        assert (read["status"], read["in"], read["out"], read["total"]) == (200, 10, 20, 0.25)
    elif text == _FORMS[-1]:
        own = _own(said)
        assert own is not None, written
        found = [_read(value) for value in own.groups()[:3]]
        assert found == [value or b"-" for value in (client, end, target)], written
    elif text not in _FORMS:
        _check_own(text, said)


def _read(value: str) -> bytes:
    r"""What was written, with \xXX for what could end a field."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), value.encode())


def _check_own(text: str, said: str) -> None:
    """The words between the fields stand where they were written."""
    at = 0
    for words, _, _, _ in string.Formatter().parse(text):
        at = said.index(words, at) + len(words)
