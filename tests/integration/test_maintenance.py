"""Site files that say a site is down for maintenance, in whole servers."""

import json
import re
import signal

from tests.harness import processes
from tests.integration.test_control import luisito, status_of
from tests.integration.test_kept_sites import rows, up
from tests.integration.test_sites import Sites, lines
from tests.integration.test_workers import ALWAYS, worker


def test_a_touched_file_switches_it(serve):
    served = Sites(serve, {"a.example": "", "b.example": ""})
    server = served.server
    before = server.warm("a.example", "b.example")
    with server.client() as busy:
        busy.ask("/sleep/1.5", "a.example")
        processes.until(lambda: len(server.seen("head")) == 3, 10, "the request")
        served.write("a.example", 'maintenance = "Back at noon"\n')
        served.until("a.example", 503)
        assert busy.response().status == 200
    response = server.request(host="a.example")
    assert (response.get("retry-after"), b"Back at noon" in response.body) == ("300", True)
    server.wait_for_log(r"a\.example: stopping pid \d+: its site is down for maintenance", 20)
    processes.until(lambda: ("a.example", None) not in rows(server), 20, "its end")
    assert status_of(server)["site_files"]["maintenance"] == ["a.example"]
    assert "down for maintenance: a.example" in luisito(server, "status").stdout
    network = server.network
    server.send_signal(signal.SIGHUP)
    processes.until(lambda: server.network != network, 20, "a successor")
    assert served.status("a.example") == 503
    served.write("a.example")
    served.until("a.example", "a.example")
    assert server.warm("b.example") == {"b.example": before["b.example"]}
    assert server.warm("a.example") != {"a.example": before["a.example"]}
    reasons = {(one["site"], one["status"], one["reason"]) for one in lines(server)}
    assert ("a.example", 503, "maintenance") in reasons


def test_all_of_several_servers_end(serve):
    served = Sites(serve, {"a.example": "processes = 3\n"})

    def ready(count):
        found = re.findall(r"a\.example(?:#\d)?: pid \d+ ready after", served.server.log())
        return len(found) == count

    served.until("a.example", "a.example")
    processes.until(lambda: ready(3), 20, "all")
    served.write("a.example", "processes = 3\nmaintenance = 60\n")
    served.until("a.example", 503)
    assert served.server.request(host="a.example").get("retry-after") == "60"
    processes.until(lambda: not served.server.servers(), 20, "their end")
    served.write("a.example", "processes = 3\n")
    served.until("a.example", "a.example")
    processes.until(lambda: ready(6), 20, "all again")


def test_nothing_of_it_runs(serve):
    keys = 'keep = "always"\n' + worker("celery", **ALWAYS)
    served = Sites(serve, {"a.example": f"maintenance = true\n{keys}"}, {"MAX_SERVERS": 3})
    assert served.status("a.example") == 503
    assert rows(served.server) == {}
    served.write("a.example", keys)
    up(served, "a.example", "celery")
    served.until("a.example", "a.example")
    served.write("a.example", f"maintenance = true\n{keys}")
    processes.until(lambda: rows(served.server) == {}, 20, "the end of all")
    assert json.loads(luisito(served.server, "status", "--json").stdout)["waiting"] == 0
