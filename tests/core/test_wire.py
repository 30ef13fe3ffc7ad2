import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import wire
from luisito.errors import WireError
from tests.harness.orders import configure

CONFIGURE = configure(
    max_servers=10,
    command=["serve", "%PORT"],
    env={"A": "b"},
    run_as=1000,
    access_log="/var/log/x",
    network_gid=5,
)
ORDERS = [
    CONFIGURE,
    CONFIGURE._replace(command="serve", run_as="bob"),
    CONFIGURE._replace(command=None, sites_dir="/etc/sites", settings_file="/etc/settings.py"),
    CONFIGURE._replace(run_as=None, sockets=["/run/x/http.sock"], pidfile="/run/luisito.pid"),
    wire.Start(1, "a.example", 20001),
    wire.Start(1, "a.example", None),
    wire.Signal(1, "TERM"),
    wire.AskFolder(1, "a.example"),
    wire.AskPage(1, "a.example"),
    wire.AskConfig(1, "a.example/api"),
    wire.AskOwns(1, 2, 2**40),
    wire.AskLog(1, None),
    wire.AskLog(2, "a.example", True),
    wire.AskTail(1, "a.example"),
    wire.AskTail(1, "a.example", 300),
    wire.AskTail(1, "a.example", 300, str(2**64 - 1)),
    wire.AskSites(1),
    CONFIGURE._replace(hooks={"ready": ["say", "%HOST"], "exit": []}, hook_timeout=1),
    wire.RunHook(1, "a.example", "ready", True, {"PID": "5", "REASON": "\u20ac\n"}),
    wire.AskList(1),
    wire.Adopt(1, 2),
    wire.Remember(),
    wire.AskListeners(1),
    wire.Keep("tcp:8080"),
    wire.Drop("own a.example tcp:8080"),
    wire.Serve(),
    wire.CannotServe("why"),
    wire.Yielded(),
    wire.Relay("HUP"),
    wire.Stopping(),
    wire.IsReady(3, True),
    wire.Quit(1),
]
FACTS = [
    wire.Hello(1, "guardian", "words", "/run/x", "fd"),
    wire.Listeners(1, ["tcp:8080"], True),
    wire.Yield(),
    wire.Take(7, ""),
    wire.NotReplaced("why"),
    wire.NotStopped(3, "/srv/a/stop", 1, None, "TERM", current=True),
    wire.Signalled("TERM"),
    wire.Spare(1),
    wire.Started(1, 2),
    wire.Running(1, 2, 3, "bob", "/srv/a", ["serve", "--port", "20001"]),
    wire.Failed(1, True, "no such program"),
    wire.Exited(1, 0, None, 17),
    wire.Exited(1, None, 9, None),
    wire.Folder(1, False, None, None, "gone"),
    wire.Page(1, "gone"),
    wire.Owns(1, True),
    wire.Log(1, "", 5, True),
    wire.Log(1, "", 5, False, str(2**64 - 1), True),
    wire.Sites(1, ""),
    wire.HookEnded(1, "exited with code 3"),
    wire.Servers(1, [{"server": 1, "site": "a", "port": None}], False),
    wire.Adopted(1, 2, ""),
    wire.Refused("why \ud800 \u20ac"),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_comes_back_as_it_was(order):
    decoded = wire.decode_order(wire.encode(order))
    assert decoded == order
    assert type(decoded) is type(order)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_as_it_was(fact):
    decoded = wire.decode_fact(wire.encode(fact))
    assert decoded == fact
    assert type(decoded) is type(fact)


def changed(order, **changes):
    return json.dumps({**json.loads(wire.encode(order)), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b"[" * 60000,
        b'{"op": ["start"]}',
        b'{"op": "started", "server": 1, "pid": 2}',
        b'{"op": "start", "server": 1, "site": "a"}',
        b'{"op": "quit", "now": true}',
        b'{"op": "list", "ask": NaN}',
        changed(wire.Start(1, "a", 2), server=True),
        changed(wire.Start(1, "a", 2), server="1"),
        changed(wire.Start(1, "a", 2), server=-1),
        changed(wire.Start(1, "a", 2), server=2**63),
        changed(wire.Start(1, "a", 2), server=1.0),
        changed(wire.Start(1, "a", 2), site=None),
        changed(wire.Start(1, "a", 2), port="80"),
        changed(wire.AskLog(1, None), site=1),
        changed(wire.Signal(1, "TERM"), signal="STOP"),
        changed(wire.Relay("TERM"), signal="KILL"),
        changed(CONFIGURE, allow_root=0),
        changed(CONFIGURE, env={"A": 1}),
        changed(CONFIGURE, env=[]),
        changed(CONFIGURE, hooks={"ready": "say"}),
        changed(CONFIGURE, hooks=[]),
        changed(wire.RunHook(1, "a", "ready", True, {}), event="evicted"),
        changed(wire.RunHook(1, "a", "ready", True, {}), facts={"PATH": "/tmp"}),
        changed(wire.RunHook(1, "a", "ready", True, {}), facts={"PID": 5}),
        changed(CONFIGURE, command=[1]),
        changed(CONFIGURE, command=1),
        changed(CONFIGURE, run_as=1.5),
        changed(CONFIGURE, sockets="/run/x/http.sock"),
        b" " * (wire.MAX_MESSAGE + 1),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(WireError):
        wire.decode_order(data)


def test_a_signal_that_is_never_relayed_is_refused():
    with pytest.raises(WireError, match="none of TERM, HUP"):
        wire.decode_fact(changed(wire.Signalled("TERM"), signal="KILL"))


@pytest.mark.parametrize("rows", [{}, [1], [{"server": 1.5}], [{"site": []}]])
def test_rows_of_servers_are_checked(rows):
    with pytest.raises(WireError):
        wire.decode_fact(changed(wire.Servers(1, [], False), servers=rows))


def test_what_is_too_long_is_not_sent():
    with pytest.raises(WireError, match="at most"):
        wire.encode(wire.Refused("x" * wire.MAX_MESSAGE))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_order_or_refused(data):
    with pytest.raises(WireError):
        wire.decode_order(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    )
)
def test_any_field_is_right_or_refused(value):
    try:
        order = wire.decode_order(changed(wire.Start(1, "a", None), site=value))
    except WireError:
        assert type(value) is not str
    else:
        assert order == wire.Start(1, value, None)


def test_paths_of_a_server():
    assert wire.server_folder("/run/l", 7) == "/run/l/7"
    assert wire.socket_path("/run/l", 7) == "/run/l/7/socket"
    assert wire.notify_path("/run/l", 7) == "/run/l/7/notify"
    assert wire.control_path("/run/l") == "/run/l/control.sock"


@pytest.mark.parametrize("port", [None, 20001])
def test_an_order_for_a_child_comes_back_as_it_was(port):
    order = wire.Start(7, "a.example", port)
    assert wire.decode_start(wire.encode_start(order)) == order


@pytest.mark.parametrize(
    "data",
    [
        b"", b"1 2", b"x 0 a", b"1 x a", b"1 0 \xff", b"{}",
        b"+1 0 a", b"1\t 0 a", b"1_0 0 a", b"01 0 a", "\u0661 0 a".encode(), b"1 -0 a",
    ],
)  # fmt: skip
def test_what_is_no_order_for_a_child_is_refused(data):
    with pytest.raises(WireError, match="no order to start"):
        wire.decode_start(data)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["serve", "--port", "1"], ["serve", "--port", "1"]),
        (["a" * 2000], ["a" * 2000]),
        (["a" * 1999, "bcd"], ["a" * 1999, "b..."]),
        (["a" * 2000, "b"], ["a" * 2000, "..."]),
        (["a"] * 100, ["a"] * 100),
        (["a"] * 101, ["a"] * 100 + ["..."]),
    ],
)
def test_a_command_is_told_within_bounds(argv, told):
    assert wire.bounded(argv) == told


def test_what_is_told_of_a_start_fits_into_a_message():
    argv = wire.bounded(["\U0001f600"] * 10_000)
    folder = "\U0001f600" * wire.MAX_FOLDER
    running = wire.Running(2**31, 2**32, 2**32, "\ud800" * 32, folder, argv)
    assert wire.decode_fact(wire.encode(running)) == running


def test_names_of_listening_sockets():
    name = wire.own_name("a.example", "unix:/run/a b.sock")
    assert wire.own_of(name) == ("a.example", "unix:/run/a b.sock")
    assert wire.own_of("tcp:8080") == wire.own_of("control.sock") == ("", "")
