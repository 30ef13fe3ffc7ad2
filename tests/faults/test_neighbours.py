"""What sites and clients may take from others: the queue, wakes, and places in the pool."""

from tests.harness import client, processes


def spawned(server):
    """How many servers were started."""
    return server.log().count(": started as pid ")


def test_48_scanner_wakes_no_more_than_its_share(serve, as_whom):
    """FAULTS 48: whoever walks all hosts wakes WAKES_PER_ADDRESS of them, and others go on."""
    server = serve({"WAKES_PER_ADDRESS": 3, "MAX_SERVERS": 4}, ordinary=as_whom)
    server.warm("warm.localhost")
    before = spawned(server)
    proxied = [("X-Forwarded-For", "192.0.2.1")]
    hosts = [f"h{n}.localhost" for n in range(12)]
    statuses = []
    for host in hosts:
        response = server.request(host=host, fields=proxied)
        statuses.append(response.status)
        if response.status == 429:
            assert 1 <= int(response.get("retry-after")) <= 60
    assert statuses == [200] * 3 + [429] * 9
    assert spawned(server) == before + 3
    # what is awake is not counted, nor is another client
    assert server.request(host="h0.localhost", fields=proxied).status == 200
    other = [("X-Forwarded-For", "192.0.2.2")]
    assert server.request(host="h11.localhost", fields=other).status == 200
    server.expect("answered 429, the last one from 192.0.2.1")


def test_44_one_site_has_no_more_than_its_share_of_the_queue(serve):
    """FAULTS 44: who waits for one site leaves others their places in the queue."""
    settings = {
        "MAX_SERVERS": 1, "OVERLAP": 0, "QUEUE_TOTAL": 8, "QUEUE_SHARE": 0.5, "QUEUE_LIMIT": 100,
    }  # fmt: skip
    server = serve(settings)
    server.expect("503 for GET")
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        results = server.load(client.gets(["b.localhost"] * 20 + ["c.localhost"] * 2), 22)
        assert client.statuses(results) == {200: 6, 503: 16}
        assert busy.response().status == 200


def test_45_health_checks_keep_no_server_awake(serve, as_whom):
    """FAULTS 45, 48: monitors wake nothing, and what they look at goes first all the same."""
    rules = [{"path": "/echo/n=health", "answer": 200, "text": "asleep"}, {"user_agent": "bot"}]
    server = serve({"MAX_SERVERS": 2, "WAKE": rules}, ordinary=as_whom)
    server.warm("a.localhost", "b.localhost")
    for _ in range(5):
        assert server.request("/echo/n=health", host="a.localhost").status == 200
    asleep = server.request("/echo/n=health", host="c.localhost")
    assert (asleep.status, asleep.body) == (200, b"asleep")
    server.expect("503 for GET")
    bot = server.request(host="c.localhost", fields=[("User-Agent", "SomeBot/1")])
    assert (bot.status, bot.get("retry-after")) == (503, "60")
    assert spawned(server) == 2
    server.warm("c.localhost")  # in the place of a, which was looked at last
    server.wait_for_log(r"a\.localhost: stopping pid \d+: room was needed for c\.localhost")


def test_health_checks_do_not_put_off_the_idle_timeout(serve):
    """Unused is unused, however often somebody looks whether it is there."""
    rules = [{"path": "/echo/n=health", "answer": 200}]
    server = serve({"IDLE_TIMEOUT": 1.5, "WAKE": rules})
    server.warm("a.localhost")
    with server.client() as monitor:

        def asleep():
            return monitor.request("/echo/n=health").body == b"asleep\n"

        processes.until(asleep, 20, "the server to be stopped")
    server.wait_for_log(r"stopping pid \d+: unused for 1\.5 s")
    assert spawned(server) == 1
