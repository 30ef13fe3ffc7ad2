import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.template import Template, way
from luisito.errors import TemplateError

VALUES = {
    "HOST": "a.example",
    "PORT": "20001",
    "SOCKET": "/run/l/1/socket",
    "FD": "3",
    "UID": "1000",
    "GID": "1001",
    "PATH": "/srv/a",
}


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("serve %HOST:%PORT", ["serve", "a.example:20001"]),
        ("serve '%PATH/my file' %SOCKET", ["serve", "/srv/a/my file", "/run/l/1/socket"]),
        ("serve -u %UID -g %GID --fd %FD", ["serve", "-u", "1000", "-g", "1001", "--fd", "3"]),
        ("date +%s %(levelname)s %h", ["date", "+%s", "%(levelname)s", "%h"]),
        ("echo %% %%HOST %%%HOST", ["echo", "%", "%HOST", "%a.example"]),
        (["serve", "", "two words", "%HOST"], ["serve", "", "two words", "a.example"]),
    ],
)
def test_words_are_replaced_and_nothing_else(command, argv):
    assert Template.parse(command).render(VALUES) == argv


def test_a_value_is_never_looked_at_again_55():
    template = Template.parse("serve %HOST %PATH")
    rendered = template.render({"HOST": "%PORT", "PATH": "$(id) %HOST;'"})
    assert rendered == ["serve", "%PORT", "$(id) %HOST;'"]


def test_words_are_told():
    assert Template.parse("x %HOST %HOST:%PORT %%FD %%").words == {"HOST", "PORT"}
    assert Template.text("no words").words == frozenset()


def test_the_program_is_the_first_part_as_it_is_written():
    assert Template.parse("'%PATH/the stop' %PORT").program == "%PATH/the stop"


def test_a_text_is_not_split():
    assert Template.text(" a 'b ").render({}) == [" a 'b "]


@pytest.mark.parametrize(
    "command", ["", "   ", [], "''", ["", "x"], "a 'b", 'a "b', "a\0b", ["a\0"]]
)
def test_bad_commands_are_refused(command):
    with pytest.raises(TemplateError):
        Template.parse(command)


@pytest.mark.parametrize("host", ["../etc", "a/b", "/etc", "-rf", ".a", "..", "", "a\0b"])
def test_a_host_that_could_be_an_option_or_a_path_is_refused_49_55(host):
    with pytest.raises(TemplateError, match="HOST"):
        Template.parse("x %HOST").render({"HOST": host})


@pytest.mark.parametrize("values", [{}, {"PATH": ""}, {"PATH": "/a\0"}])
def test_a_missing_empty_or_cut_value_is_refused(values):
    with pytest.raises(TemplateError, match="PATH"):
        Template.parse("x %PATH").render(values)


def test_a_bad_value_that_is_not_used_does_not_matter():
    assert Template.parse("x").render({"HOST": "../.."}) == ["x"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "fd"),
        (("HOST", "PATH"), "fd"),
        (("FD",), "fd"),
        (("PORT", "HOST"), "port"),
        (("SOCKET",), "socket"),
    ],
)
def test_the_way_in_follows_from_the_words(words, expected):
    assert way(words) == expected


@pytest.mark.parametrize("words", [("PORT", "FD"), ("PORT", "SOCKET"), ("FD", "PORT", "SOCKET")])
def test_two_ways_in_exclude_each_other(words):
    with pytest.raises(TemplateError, match="exclude each other"):
        way(words)


@given(st.lists(st.text(string.printable + "%", min_size=1), min_size=1))
def test_any_argv_keeps_its_length_and_only_the_words_change(argv):
    rendered = Template.parse(argv).render(dict.fromkeys(VALUES, "V"))
    assert len(rendered) == len(argv)
    for before, after in zip(argv, rendered, strict=True):
        if "%" not in before:
            assert after == before


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_any_host_is_one_piece_or_refused(host):
    try:
        rendered = Template.parse("x --host=%HOST").render({"HOST": host})
    except TemplateError:
        return
    assert rendered == ["x", "--host=" + host]


def test_its_parts_are_as_they_were_written():
    assert Template.parse("run %HOST '%% b'").texts == ("run", "%HOST", "%% b")
