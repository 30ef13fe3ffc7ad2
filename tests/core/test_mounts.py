"""Which mount a path belongs to, in whatever spelling."""

import posixpath
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luisito.core.mounts import Mount, Mounts, prefix_line
from luisito.errors import BadMessage

PATHS = ("/api", "/api/v1", "/b")
API, V1, B = (Mount(path, path, strip=True) for path in PATHS)
MOUNTS = Mounts([API, V1, B])


def kept(path):
    return Mounts([Mount(path, path, strip=False)])


def found(target, mounts=MOUNTS):
    mount = mounts.find(target)
    return None if mount is None else (mount[0].to, mount[1])


@pytest.mark.parametrize(
    ("target", "where"),
    [
        (b"/", None),
        (b"*", None),
        (b"/apix", None),
        (b"/ap", None),
        (b"/x/api", None),
        (b"/?/api", None),
        (b"/API", None),
        (b"/api%20", None),
        (b"/api%252Fx", None),
        (b"/api", ("/api", b"/")),
        (b"/api/", ("/api", b"/")),
        (b"/api?a=/b", ("/api", b"/?a=/b")),
        (b"/api/x?a?b", ("/api", b"/x?a?b")),
        (b"/api/v1", ("/api/v1", b"/")),
        (b"/api/v10/x", ("/api", b"/v10/x")),
        (b"/api/v1/x", ("/api/v1", b"/x")),
        (b"/b/api/x", ("/b", b"/api/x")),
        # as it is, after the prefix
        (b"/api/a%2Fb%20c", ("/api", b"/a%2Fb%20c")),
        (b"/api/%2Fa", ("/api", b"/%2Fa")),
        (b"/api/a//b/./c/../d", ("/api", b"/a//b/./c/../d")),
        # other spellings of it
        (b"/%61pi/x", ("/api", b"/x")),
        (b"/ap%69", ("/api", b"/")),
        (b"/api%2Fx", ("/api", b"/x")),
        (b"/api%2fv1%2fx", ("/api/v1", b"/x")),
        (b"/%2Fapi/x", ("/api", b"/x")),
        (b"//api//x", ("/api", b"/x")),
        (b"/./api/x", ("/api", b"/x")),
        (b"/%2E/api/.", ("/api", b"/.")),
        (b"/x/../api/y", ("/api", b"/y")),
        (b"/x/%2e./api", ("/api", b"/")),
        (b"/../api/y", ("/api", b"/y")),
        (b"/api/x/../../api/y", ("/api", b"/y")),
        (b"/api//evil.example/x", ("/api", b"/evil.example/x")),
        # neither
        (b"/a%zzpi", None),
        (b"/x/../y", None),
        (b"/.well-known/x", None),
    ],
)
def test_a_path_goes_to(target, where):
    assert found(target) == where


@pytest.mark.parametrize(
    "target",
    [
        b"/api/../x", b"/api/..", b"/api/%2e%2e/x", b"/api%2F..%2Fx", b"/api/x%2F..%2F..%2Fy",
        b"/api/../b/x", b"/api/v1/../x", b"//api/./../x?y",
    ],
)  # fmt: skip
def test_what_leaves_a_mount_is_refused(target):
    with pytest.raises(BadMessage, match=r"the path leaves /(api|api/v1) by '\.\.'") as caught:
        MOUNTS.find(target)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("target", "passed"),
    [
        (b"/api", b"/api"),
        (b"/api?x", b"/api?x"),
        (b"/api//x%2Fy", b"/api//x%2Fy"),
        (b"/%61pi/x", b"/api/x"),
        (b"//api%2Fx", b"/api/x"),
    ],
)
def test_unstripped_only_the_prefix_is_written_anew(target, passed):
    assert found(target, kept("/api")) == ("/api", passed)


PIECES = st.sampled_from(
    [
        b"/", b"//", b"%2F", b"%2f", b".", b"..", b"%2e", b"%2E", b"a", b"%61", b"%41", b"pi", b"b",
        b"%62", b"api", b"v1", b"x", b"%", b"%25", b"%2", b"?", b"\xff", b"%FF", b"~", b";",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces)))
@example(b"/api/%2e%2e")
@example(b"/api%2F%2e./b")
def test_no_spelling_leads_around_a_mount(target):
    """Judged by what an app server makes of it: all decoded at once, and resolved or not."""
    decoded = unquote_to_bytes(target.partition(b"?")[0])
    resolved = under(posixpath.normpath(decoded))
    # Not resolved: ".." is a name like any other.
    written = under(posixpath.normpath(decoded.replace(b"..", b"\0")))
    if b"\0" in decoded:
        return
    try:
        where = found(target)
    except BadMessage:
        assert written is not None
        assert written != resolved
        return
    assert (None if where is None else where[0]) == resolved
    assert written in (None, resolved)
    if where is not None:
        passed = where[1]
        assert passed.startswith(b"/")
        assert not passed.startswith(b"//")
        path = posixpath.normpath(unquote_to_bytes(passed.partition(b"?")[0]))
        whole = posixpath.normpath(where[0].encode() + b"/" + path.lstrip(b"/"))
        assert b"/" + whole.lstrip(b"/") == b"/" + posixpath.normpath(decoded).lstrip(b"/")
        assert passed.partition(b"?")[1:] == target.partition(b"?")[1:]


def under(path):
    path = b"/" + path.lstrip(b"/")
    fits = [of for of in PATHS if path == of.encode() or path.startswith(of.encode() + b"/")]
    return max(fits, key=len, default=None)


@given(st.from_regex(r"/[a-z]{1,3}(/[a-z]{1,3})?", fullmatch=True), st.text("abc/", max_size=6))
def test_never_in_the_middle_of_a_segment(prefix, more):
    target = (prefix + more).encode()
    whole = target.rstrip(b"/") == prefix.encode() or target.startswith(prefix.encode() + b"/")
    assert (found(target, kept(prefix)) is not None) == whole


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        ([], b"/api"),
        ([b"/outer/"], b"/outer/api"),
        ([b"/a/b"], b"/a/b/api"),
        ([b"/a", b"/b"], b"/api"),
        ([b"/a, /b"], b"/api"),
        ([b"outer"], b"/api"),
        ([b"/"], b"/api"),
        ([b"//evil"], b"/api"),
    ],
)
def test_the_prefix_is_told(sent, line):
    fields = [(b"x-forwarded-prefix", value) for value in sent]
    told = prefix_line(API, [(b"x-forwarded-proto", b"https"), *fields])
    assert told == b"X-Forwarded-Prefix: " + line + b"\r\n"
    assert prefix_line(Mount("/api", "", strip=False), fields) == b""
