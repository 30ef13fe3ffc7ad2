import pytest

from luisito.core.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain w\u00f6rds", "plain w\u00f6rds"),
        ("\x1b[2J\r\n\t\0", r"\x1b[2J\r\n\t\x00"),
        ("a\u202eb\u200b\ud800", r"a\u202eb\u200b\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert visible(text) == shown


def test_some_characters_may_stay():
    assert visible("a\n\tb\r", "\n\t") == "a\n\tb\\r"
