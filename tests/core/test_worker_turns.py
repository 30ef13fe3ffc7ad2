"""Conversations about workers: what files say, what becomes of processes, what is ordered."""

from __future__ import annotations

from luisito.core.worker import Begin, End, Kill, Spec
from luisito.core.workers import Workers


def spec(digest="1", *, always=False, on_failure=False, stop_timeout=10.0, asked=False):
    return Spec(digest, always, on_failure, stop_timeout, asked)


ALWAYS = spec(always=True)


class Talk:
    """Says facts, and hears orders as words."""

    def __init__(self, *, begun=True):
        self.workers = Workers(lambda: 1.0)
        self.now = 0.0
        self.last = []
        if begun:
            assert self.workers.begin(0.0) == []

    def hear(self, orders):
        self.last = orders
        kinds = {Begin: "begin", End: "end", Kill: "kill"}
        return [f"{kinds[type(one)]} {one.worker.site}/{one.worker.name}" for one in orders]

    def files(self, site, **specs):
        return self.hear(self.workers.files(site, specs, self.now))

    def awake(self, site, is_awake=True):
        return self.hear(self.workers.awake(site, is_awake, self.now))

    def ask(self, site, name, *, wanted=True):
        return self.hear(self.workers.ask(site, name, wanted=wanted, now=self.now))

    def of(self, site, name):
        return next(w for w in self.workers if (w.site, w.name) == (site, name))

    def exited(self, site, name, *, clean=False):
        worker = self.of(site, name)
        return self.hear(self.workers.exited(worker, self.now, "gone", clean=clean))

    def failed(self, site, name, **how):
        worker = self.of(site, name)
        return self.hear(self.workers.failed(worker, self.now, "why", **how))

    def at(self, now):
        """Move the clock, and tick."""
        self.now = now
        return self.hear(self.workers.tick(now))


# How long one lives


def test_a_worker_of_a_site_lives_while_the_sites_server_does():
    t = Talk()
    assert t.files("a", w=spec(), v=spec()) == []
    assert t.awake("a") == ["begin a/w", "begin a/v"]
    assert t.awake("a") == []
    assert t.awake("a", False) == ["end a/w", "end a/v"]
    assert t.last[0].reason == "its site's server has gone"
    assert t.exited("a", "w") == []
    assert t.awake("a") == ["begin a/w"]
    assert t.exited("a", "v") == ["begin a/v"]
    assert [worker.name for worker in t.workers.running] == ["w", "v"]


def test_one_that_is_asked_for():
    t = Talk()
    assert t.files("a", w=spec(asked=True), v=spec()) == []
    assert t.awake("a") == ["begin a/v"]
    assert [t.workers.names("a", name) for name in ("w", "x")] == [True, False]
    assert not t.workers.names("b", "w")
    assert t.ask("a", "w") == ["begin a/w"]
    assert t.ask("a", "w") == t.ask("a", "x") == t.ask("b", "w") == []
    assert t.awake("a", False) == ["end a/v"]
    t.exited("a", "w")
    assert t.awake("a") == []
    assert t.of("a", "w").failures == 1  # its back-off is its own
    assert t.ask("a", "w", wanted=False) == []
    assert t.ask("a", "w") == ["begin a/w"]
    assert t.ask("a", "w", wanted=False) == ["end a/w"]
    assert t.last[0].reason == "none of its sites has been used"
    assert t.exited("a", "w") == []


def test_one_that_is_always_there_lives_as_long_as_its_file():
    t = Talk()
    assert t.files("a", w=ALWAYS) == ["begin a/w"]
    assert t.awake("a") == t.awake("a", False) == []
    assert "a" in t.workers
    assert t.files("a") == ["end a/w"]
    assert t.last[0].reason == "its file names it no more"
    assert t.exited("a", "w") == []
    assert "a" not in t.workers
    assert list(t.workers) == []


def test_a_site_without_workers_is_nothing_to_remember():
    t = Talk()
    assert t.awake("a") == t.files("a") == []
    assert "a" not in t.workers
    t.files("a", w=spec())
    assert t.files("a") == []
    assert "a" not in t.workers


def test_a_site_that_is_awake_when_its_file_names_a_worker():
    t = Talk()
    t.files("a", v=spec())
    t.awake("a")
    assert t.files("a", v=spec(), w=spec()) == ["begin a/w"]
    assert t.files("a", x=spec()) == ["begin a/x", "end a/v", "end a/w"]


# What changes


def test_only_what_has_changed_is_started_anew():
    t = Talk()
    t.files("a", w=ALWAYS, v=ALWAYS)
    assert t.files("a", w=ALWAYS._replace(digest="2"), v=ALWAYS._replace(stop_timeout=5)) == [
        "end a/w"
    ]
    assert t.last[0].reason == "what it is started by has changed"
    assert t.files("a", w=ALWAYS._replace(digest="3"), v=ALWAYS) == []
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.of("a", "w").runs == "3"


def test_one_that_may_live_longer_and_one_that_may_not():
    t = Talk()
    t.files("a", w=ALWAYS)
    assert t.files("a", w=spec()) == ["end a/w"]
    assert t.files("a", w=ALWAYS) == []
    assert t.exited("a", "w") == ["begin a/w"]


# Ends that nobody asked for


def test_one_that_ends_is_started_anew_later_each_time():
    t = Talk()
    t.files("a", w=ALWAYS)
    t.now = 100
    assert t.exited("a", "w", clean=True) == ["begin a/w"]  # it ran for long enough
    assert t.exited("a", "w", clean=True) == []
    assert t.workers.deadline() == 101
    assert t.at(101) == ["begin a/w"]
    assert t.failed("a", "w") == []
    assert (t.of("a", "w").failures, t.of("a", "w").detail) == (2, "why")
    assert t.at(102.9) == []
    assert t.at(103) == ["begin a/w"]
    assert t.workers.deadline() is None
    t.now = 140
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.of("a", "w").failures == 0


def test_a_change_does_not_wait_for_that():
    t = Talk()
    t.files("a", w=ALWAYS)
    t.exited("a", "w")
    assert t.files("a", w=ALWAYS) == []
    assert t.files("a", w=ALWAYS._replace(digest="2")) == ["begin a/w"]
    t.exited("a", "w")
    assert t.files("a") == []
    assert t.workers.deadline() is None
    t.files("b", w=spec())
    t.awake("b")
    t.exited("b", "w")
    assert t.awake("b", False) == []
    assert t.workers.deadline() is None
    assert t.awake("b") == ["begin b/w"]


def test_a_machine_without_room_is_left_alone_a_while():
    t = Talk()
    t.files("a", w=ALWAYS)
    assert t.failed("a", "w", overloaded=True) == []
    assert t.at(4.9) == []
    assert t.at(5) == ["begin a/w"]
    assert t.of("a", "w").failures == 0


def test_one_that_has_done_its_work_rests():
    t = Talk()
    once = ALWAYS._replace(on_failure=True)
    t.files("a", w=once)
    assert t.exited("a", "w", clean=True) == []
    assert t.at(1000) == []
    assert t.files("a", w=once._replace(digest="2")) == ["begin a/w"]
    assert t.exited("a", "w") == []  # a failure
    assert t.at(1001) == ["begin a/w"]
    t.files("b", w=spec(on_failure=True))
    t.awake("b")
    assert t.exited("b", "w", clean=True) == t.awake("b") == []
    t.awake("b", False)
    assert t.awake("b") == ["begin b/w"]


# Told to end


def test_one_that_does_not_end_is_killed_again_and_again():
    t = Talk()
    t.files("a", w=ALWAYS._replace(stop_timeout=3.0), v=ALWAYS)
    assert t.files("a", w=ALWAYS._replace(digest="2", stop_timeout=3.0)) == ["end a/w", "end a/v"]
    assert t.workers.deadline() == 3
    assert t.at(3) == ["kill a/w"]
    assert t.at(6) == ["kill a/w"]
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.files("a") == ["end a/w"]
    assert t.at(9) == ["kill a/w"]
    assert t.files("a", w=ALWAYS) == []
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.at(10) == ["kill a/v"]
    assert t.failed("a", "v") == []
    assert [worker.name for worker in t.workers] == ["w"]


def test_the_end():
    t = Talk()
    t.files("a", w=ALWAYS, v=ALWAYS)
    t.exited("a", "v")
    t.files("b", w=ALWAYS, v=ALWAYS)
    t.files("b", w=ALWAYS)
    assert t.hear(t.workers.shutdown(t.now)) == ["end a/w", "end b/w"]
    assert t.last[0].reason == "shutting down"
    assert t.at(1) == t.awake("a") == t.files("c", w=ALWAYS) == t.exited("a", "w") == []
    assert t.exited("b", "v") == t.exited("b", "w") == []
    assert list(t.workers.running) == []


# Those of another process


def test_what_runs_is_taken_over():
    t = Talk(begun=False)
    assert t.files("a", w=ALWAYS, v=ALWAYS, x=ALWAYS, y=spec(), z=spec()) == []
    t.files("b", w=spec())
    adopt = t.workers.adopt
    adopt("a", "w", -100.0, 0.0, current=True, stopping=False)
    adopt("a", "v", 0.0, 0.0, current=False, stopping=False)
    adopt("a", "y", 0.0, 0.0, current=True, stopping=False)
    adopt("b", "w", 0.0, 0.0, current=True, stopping=False)
    adopt("a", "old", 0.0, 0.0, current=True, stopping=True)
    adopt("c", "w", 0.0, 0.0, current=True, stopping=False)
    assert t.awake("b") == []
    assert t.hear(t.workers.begin(0.0)) == ["end a/v", "begin a/x", "end a/y", "end c/w"]
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.at(10) == ["kill a/old", "kill a/v", "kill a/y", "kill c/w"]


def test_all_that_there_was_is_somebody_elses():
    t = Talk()
    t.files("a", w=ALWAYS, v=spec())
    t.awake("a")
    t.workers.resign()
    assert list(t.workers) == list(t.workers.running) == []
    assert t.workers.deadline() is None
    assert t.files("a", w=ALWAYS) == []


def test_one_that_is_touched_is_started_anew():
    t = Talk()
    assert t.files("a", w=ALWAYS) == ["begin a/w"]
    worker = t.of("a", "w")
    assert t.hear(t.workers.renew(worker, "restart.txt has changed", 0.0)) == ["end a/w"]
    assert t.last == [End(worker, "restart.txt has changed")]
    assert t.hear(t.workers.renew(worker, "restart.txt has changed", 0.0)) == []
    assert t.exited("a", "w") == ["begin a/w"]
    assert t.exited("a", "w") == []
    assert t.hear(t.workers.renew(worker, "restart.txt has changed", 0.0)) == []
