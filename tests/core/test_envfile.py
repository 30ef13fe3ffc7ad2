import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.envfile import parse
from luisito.errors import SettingsError

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("A=#", ""),
        ("A= b ", "b"),
        ("  A = b", "b"),
        ("export A=b", "b"),
        ("export\tA=b\r", "b"),
        ("A=b # said", "b"),
        ("A=b#c", "b#c"),
        ("A=b\\nc", "b\\nc"),
        ("A=it's", "it's"),
        ("A=$HOME", "$HOME"),
        ("A=b=c", "b=c"),
        ("A='b # c'", "b # c"),
        ("A='b\\n' # said", "b\\n"),
        ('A="b # c"', "b # c"),
        ('A="b\\n\\"c\\"\\t\\\\\\$"  # said', 'b\n"c"\t\\$'),
        ('A=""', ""),
    ],
)
def test_a_line(line, value):
    assert parse(line, "/.env") == {"A": value}


def test_a_file():
    text = "\ufeff# said\n\nA=1\nB=2\r\n   # more\nA=3\n"
    assert parse(text, "/.env") == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("secret", "/.env:2: is not NAME=VALUE; "),
        ("1A=secret", "/.env:2: is not NAME=VALUE; "),
        ("=secret", "/.env:2: is not NAME=VALUE; "),
        ("A-B=secret", "/.env:2: is not NAME=VALUE; "),
        ("A='secret", "/.env:2: A: its quotes do not end"),
        ('A="secret" more', "/.env:2: A: its quotes do not end"),
        ('A="secret\\"', "/.env:2: A: its quotes do not end"),
        ("A=sec\0ret", "/.env:2: A: has a NUL"),
        ('A="sec\0ret"', "/.env:2: A: has a NUL"),
    ],
)
def test_what_is_no_line_is_told_without_its_text(line, what):
    with pytest.raises(SettingsError) as caught:
        parse(f"B=1\n{line}\n", "/.env")
    assert str(caught.value).startswith(what)
    assert "secret" not in str(caught.value)


@given(NAMES, st.text(st.characters(exclude_characters="\0'\n", exclude_categories=["Cs"])))
def test_what_is_quoted_is_as_it_is(name, value):
    assert parse(f"{name}='{value}'", "/.env") == {name: value}
