"""Requests of the control socket find who answers them."""

from __future__ import annotations

import pytest

from luisito.control.routes import Route, Routes, arguments

LIST = Route("GET", "/sites", print)
STOP = Route("POST", "/sites/SITE/stop", print, for_all=True)
START = Route("POST", "/sites/SITE/start", print)
TELL = Route("GET", "/sites/SITE/stop", print)
ROOT = Route("GET", "/", print)
ROUTES = Routes([LIST, STOP, START, TELL, ROOT])


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (["sites"], {"GET": LIST}),
        (["sites", "a", "stop"], {"POST": STOP, "GET": TELL}),
        (["sites", "", "start"], {"POST": START}),
        (["sites", "a", "start", ""], {}),
        (["sites", "a"], {}),
        (["servers"], {}),
        ([], {}),
        ([""], {"GET": ROOT}),
        (["a"], {}),
    ],
)
def test_a_path_leads_to_its_routes(path, methods):
    assert ROUTES.find(path) == methods


def test_what_stands_for_the_words_in_capitals():
    assert arguments(STOP, ["sites", "a.example", "stop"]) == ["a.example"]
    assert arguments(LIST, ["sites"]) == []


def test_all_are_told():
    assert list(ROUTES) == [LIST, STOP, TELL, START, ROOT]


def test_a_word_in_capitals_is_no_name():
    assert ROUTES.find(["SITES"]) == {}
    assert ROUTES.find(["sites", "SITE", "stop"])["POST"] is STOP


def test_two_handlers_of_one_request_are_refused():
    with pytest.raises(ValueError, match="two handlers for GET /sites"):
        Routes([LIST, Route("GET", "/sites/", len)])
