"""The command line of `luisito app`, and who a client is."""

import pytest

from luisito.app import forwarded
from luisito.app.errors import UnusableError
from luisito.app.options import parse


def test_what_is_taken():
    options = parse(["shop:app", "--fd=3", "--threads", "8", "--max-requests", "5", "--grace=0"])
    assert (options.app, options.fd, options.threads) == ("shop:app", 3, 8)
    assert (options.max_requests, options.grace, options.processes) == (5, 0, 1)
    options = parse(["--django", "/srv/shop", "--port", "0"])
    assert (options.django, options.app, options.port) == ("/srv/shop", "", 0)
    assert parse(["--help"]).help


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "nothing to serve is named; write shop.wsgi:application, or --django FOLDER"),
        (["a:b", "--django", "/srv"], "app and --django exclude each other"),
        (["a:b", "c:d"], "'c:d': there is 'a:b' before it; remove one"),
        (["a:b", "--port"], "--port: wants a value behind it"),
        (["a:b", "--prot", "3"], "--prot: is no option; see --help"),
        (["a:b", "-x"], "-x: is no option"),
        (["a:b", "--threads", "0"], "--threads '0': must be a whole number from 1 to 1024"),
        (["a:b", "--port", "٣"], "must be a whole number"),
        (["a:b", "--port", "1", "--fd", "3"], "--port, --socket and --fd exclude each other"),
    ],
)
def test_what_is_not(argv, said):
    with pytest.raises(UnusableError) as caught:
        parse(argv)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("field", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("10.9.9.9, 192.0.2.1, 127.0.0.1", "192.0.2.1"),
        ("192.0.2.1, ::1", "192.0.2.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_who_a_client_is(field, client):
    assert forwarded.client(field) == client


@pytest.mark.parametrize(("field", "scheme"), [("https", "https"), ("http", "http"), ("x", "http")])
def test_by_which_scheme(field, scheme):
    assert forwarded.scheme(field) == scheme
