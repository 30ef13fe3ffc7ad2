"""Sites whose files change while their servers run: real servers, one real spawner."""

import pytest

from luisito.core.lifecycle import State
from tests.handover.conftest import WAYS, Logged


@pytest.mark.parametrize(("way", "tcp"), [*((way, False) for way in WAYS), ("fd", True)])
def test_the_old_server_serves_until_the_new_one_is_ready(world, way, tcp):
    one = world(way, tcp=tcp, max_servers=1)
    net = one.net()
    one.touch("slow.test")
    old = one.body(net.get("slow.test"))
    one.forget("slow.test")
    net.pool.changed("slow.test")
    assert [s.state for s in net.policy.servers.values()] == [State.READY, State.STARTING]
    assert one.body(net.get("slow.test")) == old
    busy = net.ask("slow.test")
    one.touch("slow.test")
    one.until(lambda: net.number("slow.test") != old)
    assert busy.server.state is State.DRAINING
    assert one.body(net.get("slow.test")) == net.number("slow.test")
    net.release(busy)
    one.until(lambda: len(net.policy.servers) == 1)


def test_a_new_server_that_is_late_leaves_the_old_one(world):
    one = world(max_servers=1)
    net = one.net()
    one.touch("slow.test")
    old = one.body(net.get("slow.test"))
    one.forget("slow.test")
    net.pool.limit("slow.test", {"start_timeout": 0.2})
    with Logged() as logged:
        net.pool.changed("slow.test")
        one.until(net.policy.failures)
        one.until(lambda: len(net.policy.servers) == 1)
    assert one.body(net.get("slow.test")) == old
    assert [text for text in logged.texts if "not ready after 0.2 s" in text]


def test_a_roll_goes_on_in_the_next_process(world):
    one = world(max_servers=1)
    first = one.net()
    one.touch("slow.test")
    old = one.body(first.get("slow.test"))
    one.forget("slow.test")
    first.pool.changed("slow.test")
    second = one.succeed(first)
    assert one.body(second.get("slow.test")) == old
    one.touch("slow.test")
    one.until(lambda: second.number("slow.test") != old)
    one.until(lambda: len(second.policy.servers) == 1)


def test_who_waits_for_a_site_that_is_removed_is_refused(world):
    one = world()
    net = one.net()
    asker = net.ask("slow.test")
    net.pool.removed("slow.test")
    assert asker.why.status == 404
    one.until(lambda: net.policy.servers == {})


def test_the_limits_of_a_site_count_at_once(world):
    one = world()
    net = one.net()
    net.wake("a.test", "b.test")
    net.pool.limit("a.test", {"idle_timeout": 0.1})
    one.until(lambda: set(net.states()) == {"b.test"})
    net.pool.limit("a.test", None)
    net.wake("a.test")
    assert net.server("a.test").limits is net.policy.limits
