"""Texts that are no TOML, or odd TOML: one line says where and what to do."""

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luisito.errors import SiteFileError
from luisito.settings.sites.lines import lines
from luisito.settings.sites.table import KEYS
from luisito.settings.sites.toml import LARGEST, parse
from luisito.settings.sites.words import dotted, shown
from tests.sites.made import site


def refusal(data):
    with pytest.raises(SiteFileError) as caught:
        parse("a.toml", data if isinstance(data, bytes) else data.encode())
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "command = gunicorn shop.wsgi  # x",
            ':1: is not TOML: invalid value; write command = "gunicorn shop.wsgi"',
        ),
        ("\ndefault = True\n", ":2: is not TOML: invalid value; write default = true"),
        ("idle_timeout = None", ':1: is not TOML: invalid value; write idle_timeout = "none"'),
        (
            "idle_timeout = 10s",
            (
                ":1: is not TOML: expected newline or end of document after a statement; "
                "mend that line: idle_timeout = 10s"
            ),
        ),
        ("user = \nx = 1", ":1: is not TOML: invalid value; mend that line: user ="),
        ("user = \n\n\n", ":1: is not TOML: invalid value; mend that line: user ="),
        (
            'a = 1\nb = [\n  "x",\n  "y"\n',
            ":2: is not TOML: unclosed array; mend that line: b = [",
        ),
        ('a = "x', ':1: is not TOML: unterminated string; mend that line: a = "x'),
        ("a = 1\nb = 2\na = 3\nc = 4", ":3: a is set in line 1, too; remove one"),
        ("[env]\nA = 1\n[env]\n", ":3: env is set in line 1, too; remove one"),
        ('env.A = "1"\nenv.A = "2"', ":2: env.A is set in line 1, too; remove one"),
        (
            'env = {A = "1"}\nenv.B = "2"',
            (
                ":2: is not TOML: cannot mutate immutable namespace ('env',); "
                'mend that line: env.B = "2"'
            ),
        ),
        ("\x00", ":1: is not TOML: invalid statement; mend that line: \\x00"),
        ("a = \x1b[31m", ":1: is not TOML: invalid value; mend that line: a = \\x1b[31m"),
        (b"a = 1\nb = '\xff'\n", ":2: is not UTF-8; write that line in UTF-8"),
        (
            f"a = {'9' * 5000}",
            ": has a number of thousands of digits; write a smaller one",
        ),
        (
            f"\nmax_body_size = 0x{'f' * 20}",
            (
                f":2: max_body_size = {16**20 - 1}: must be a number of at most "
                "9223372036854775807; write max_body_size = 9223372036854775807"
            ),
        ),
        (
            f"a = 0x{'f' * 9000}",
            (
                ":1: a = ...: must be a number of at most 9223372036854775807; "
                "write a = 9223372036854775807"
            ),
        ),
        ("a = " + "[" * 5000, ": is nested too deeply; no key needs more than two levels"),
        ("a = " + "{a=" * 5000, ": is nested too deeply; no key needs more than two levels"),
        ("\n[a" + ".'a'" * 16000 + "]", ":2: has a key of more than 100 parts; remove it"),
        ("\na = {a" + ".a" * 100 + " = 1}", ":2: has a key of more than 100 parts; remove it"),
        (
            "a.b.c.d.e.f.g = 1",
            ':1: a.b.c.d.e = "...": is nested too deeply; remove a',
        ),
        (
            "a = 1" + "#" * LARGEST,
            ": is larger than 65536 bytes; make it smaller, or `extends` a base",
        ),
    ],
)
def test_what_is_no_toml(text, said):
    assert refusal(text) == f"a.toml{said}"


def test_a_path_cannot_break_the_line():
    with pytest.raises(SiteFileError) as caught:
        parse("a\n\x1b.toml", b"\xff")
    assert str(caught.value) == r"a\n\x1b.toml:1: is not UTF-8; write that line in UTF-8"


def test_a_byte_order_mark_is_borne():
    assert parse("a.toml", b"\xef\xbb\xbfa = 1\r\n").table == {"a": 1}


def test_dots_in_strings_are_no_long_key():
    text = f"a = '{'a.' * 200}'\n" + "b = 1.5\n[c.d]\n" + "\n".join(f"e{n}.f=1" for n in range(99))
    assert parse("a.toml", text.encode()).table["b"] == 1.5


def test_the_largest_file():
    assert parse("a.toml", b"a = 1" + b"#" * (LARGEST - 5)).table == {"a": 1}


TEXT = '''\
# a = 0
a = """
b = 1
c = [
"""
'd e' = 3  # b = 4
b = [
  "x,]", # [
  { y = "}" , z = [1] }, 'z',

  5,
]
[env]
"L.\\u0041" = 1
x.y = [1,
2]
[[t]]
e = 1
[[t]]
e = 2
[t.f]
g = 3
'''


def test_lines_of_keys_and_elements():
    assert tomllib.loads(TEXT)["env"] == {"L.A": 1, "x": {"y": [1, 2]}}
    assert lines(TEXT) == {
        ("a",): [2],
        ("d e",): [6],
        ("b",): [7],
        ("b", 0): [8],
        ("b", 1): [9],
        ("b", 2): [9],
        ("b", 3): [11],
        ("env",): [13],
        ("env", "L.A"): [14],
        ("env", "x"): [15],
        ("env", "x", "y"): [15],
        ("env", "x", "y", 0): [15],
        ("env", "x", "y", 1): [16],
        ("t",): [17],
        ("t", 0): [17],
        ("t", 0, "e"): [18],
        ("t", 1): [19],
        ("t", 1, "e"): [20],
        ("t", 1, "f"): [21],
        ("t", 1, "f", "g"): [22],
    }


def test_tables_of_an_array_are_not_what_is_set_twice():
    text = b"[[t]]\ne = 1\n[[t]]\ne = 1\n[a]\nx = 1\nx = 2\n"
    with pytest.raises(SiteFileError, match=r"a.toml:7: a.x is set in line 6, too"):
        parse("a.toml", text)


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_what_is_shown_is_toml_and_its_lines_are_found(table):
    text = "".join(f"\n{dotted((key,))} = {shown(table[key], 10**6)}\n" for key in table)
    assert repr(tomllib.loads(text)) == repr(table)  # nan is not equal to itself
    found = lines(text)
    for index, key in enumerate(table):
        assert found[(key,)] == [2 + 2 * index]


def said_of(reader, *args, **more):
    """What is said of a file, its name at least."""
    try:
        made = reader(*args, **more)
    except SiteFileError as error:
        return str(error)
    return made.path


@given(st.binary(max_size=200))
@example(b'a = 1979-05-27T07:32:00Z\nb = """\n')
def test_any_bytes_are_a_table_or_an_error_of_one_line(data):
    said = said_of(parse, "a.toml", data)
    assert said.startswith("a.toml")
    assert said.isprintable()


KEY = st.sampled_from(
    [*(key for key in KEYS if key != "extends"), "idle", "env.A", "rlimits.core", '"a b"']
)
WRITTEN = VALUES.map(shown) | st.sampled_from(
    ['"none"', '"owner"', '["a.example", "!*.b"]', "1979-05-27", '{ nofile = [1, "x"] }', "x", "'"]
)


@given(st.lists(st.builds("{} = {}".format, KEY, WRITTEN), max_size=4).map("\n".join))
@example(f'user = "{"9" * 5000}"')
@example(f"env = {{ A = 0x{'f' * 9000} }}")
@example(f'env = {{ "{"a" * 300}" = 1 }}')
@example('command = ["a", [[[1]]]]')
@example("command = \"''\"")
@example('aliases = ["a..b", 1979-05-27]')
@example("hosts = [1]")
@example('hosts = ["!"]')
@example('aliases = ["http://[::1"]')
def test_any_keys_are_a_site_or_an_error_of_one_line(text):
    said = said_of(site, text)
    assert said.startswith("shop.example.toml")
    assert said.isprintable()
