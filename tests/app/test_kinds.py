"""What a callable is: WSGI, ASGI 2 or 3, or what makes one; each as its framework writes it."""

import functools

import fastapi
import flask
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from luisito.app import loading
from luisito.app.errors import UnusableError
from luisito.app.kinds import ASGI2, ASGI3, FACTORY, WSGI, kind


def wsgi(environ, start_response):
    return []


async def asgi(scope, receive, send):
    pass


def asgi_returned(scope, receive, send):
    return asgi(scope, receive, send)


def asgi_of_a_scope(scope):
    return functools.partial(asgi, scope)


class Wsgi:
    def __call__(self, environ, start_response):
        return []

    def method(self, environ, start_response, more=None):
        return []


class Response:
    """A class that is the app: each response is an instance."""

    def __init__(self, environ, start_response):
        self.environ = environ

    def __iter__(self):
        return iter(())


class Asgi:
    async def __call__(self, scope, receive, send):
        pass


class OfAScope:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        pass


def decorated(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def opaque(*args):
    return wsgi(*args)


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (wsgi, WSGI),
        (opaque, WSGI),
        (lambda environ, start_response, debug=False: [], WSGI),
        (functools.partial(lambda debug, environ, start_response: [], True), WSGI),
        (decorated(wsgi), WSGI),
        (Wsgi(), WSGI),
        (Wsgi().method, WSGI),
        (Response, WSGI),
        (flask.Flask("x"), WSGI),
        (WSGIHandler.__call__.__get__(object()), WSGI),
        (asgi, ASGI3),
        (asgi_returned, ASGI3),
        (functools.partial(asgi), ASGI3),
        (decorated(asgi), ASGI3),
        (Asgi(), ASGI3),
        (fastapi.FastAPI(), ASGI3),
        (ASGIHandler.__call__.__get__(object()), ASGI3),
        (asgi_of_a_scope, ASGI2),
        (OfAScope, ASGI2),
        (lambda: wsgi, FACTORY),
        (lambda name="live": wsgi, FACTORY),
        (Wsgi, FACTORY),
        (Asgi, FACTORY),
    ],
)
def test_kind(app, expected):
    assert kind(app) == expected


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    count = 0

    def write(text):
        nonlocal count
        count += 1
        name = f"served_{tmp_path.name.replace('-', '_')}_{count}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


APP = "def app(environ, start_response): return []\ndef make(name='x'): return app\nthing = 3\n"


@pytest.mark.parametrize(
    "written", ["", ":app", ":make", ":make()", ":make('live')", ":make(name=1)"]
)
def test_how_an_app_is_written(module, written):
    app, kind = loading.load(module(APP) + written)
    assert (app.__name__, kind) == ("app", WSGI)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a-b:app", "is no module and callable; write shop.wsgi:application"),
        ("no_such.module:app", "no module 'no_such' in"),
        ("{}:", "is no module and callable"),
        ("{}:apple", "has no apple; write {}:app"),
        ("{}:thing", "is no app but int; name a WSGI or ASGI app"),
        ("{}:make(open)", "only literals may be given to a factory"),
    ],
)
def test_what_is_no_app(module, written, said):
    name = module(APP)
    with pytest.raises(UnusableError) as caught:
        loading.load(written.format(name))
    assert said.format(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_package_has_no_app(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "folder_alone").mkdir()
    with pytest.raises(UnusableError, match=r"\(a folder without __init__.py\) has no app;"):
        loading.load("folder_alone:app")


def test_what_the_app_itself_lacks_is_its_own_error(module):
    name = module("import no_such_module_of_the_app\n")
    with pytest.raises(ModuleNotFoundError):
        loading.load(name)
