"""Which preloaded interpreters run: as a worker of which site, from when and until when."""

from luisito.core.preloading import Key, Preloading, Want

A, B = Key("a", 33), Key("b", 33)


def test_one_comes_for_servers_that_share_and_goes_when_they_have_gone():
    preloading = Preloading(600.0)
    assert preloading.deadline() is None
    preloading.runs(1, "one", A, 10.0)
    preloading.runs(2, "two", A, 11.0)
    assert preloading.deadline() == 12.0
    assert preloading.tick(11.9) == []
    assert preloading.tick(12.0) == [Want("two", wanted=True)]
    assert preloading.deadline() is None
    preloading.hosted("two", A, 12.5)
    assert preloading.hosts == {"two": 2}
    preloading.gone(1, 20.0)
    assert preloading.deadline() is None
    preloading.gone(2, 30.0)
    preloading.gone(3, 30.0)
    assert preloading.deadline() == 630.0
    preloading.runs(4, "one", A, 100.0)
    assert preloading.deadline() is None
    preloading.gone(4, 200.0)
    assert preloading.tick(800.0) == [Want("two", wanted=False)]
    assert preloading.hosts == {}
    assert preloading.deadline() is None


def test_servers_that_go_at_once_are_a_reason_too():
    preloading = Preloading(600.0)
    preloading.runs(1, "one", A, 0.0)
    preloading.gone(1, 1.0)
    assert preloading.tick(2.0) == [Want("one", wanted=True)]
    assert preloading.deadline() == 602.0
    preloading.lost("one", 3.0)
    assert preloading.deadline() is None


def test_one_that_has_no_workers_is_no_host():
    preloading = Preloading(600.0)
    preloading.runs(1, "", A, 0.0)
    assert preloading.tick(2.0) == []
    preloading.runs(2, "one", A, 3.0)
    preloading.runs(3, "", A, 4.0)
    assert preloading.tick(602.0) == [Want("one", wanted=True)]


def test_a_site_that_has_become_another_s_host_meanwhile():
    preloading = Preloading(600.0)
    preloading.runs(1, "one", A, 0.0)
    preloading.gone(1, 1.0)
    preloading.hosted("one", B, 1.5)
    assert preloading.tick(2.0) == []
    assert preloading.hosts == {"one": 0}


def test_a_site_is_host_for_one_environment():
    preloading = Preloading(60.0)
    preloading.runs(1, "one", A, 0.0)
    assert preloading.tick(2.0) == [Want("one", wanted=True)]
    preloading.hosted("one", A, 2.5)
    preloading.runs(2, "one", B, 3.0)  # its virtual environment is another one now
    assert preloading.tick(5.0) == []
    assert preloading.deadline() == 65.0
    preloading.hosted("one", B, 6.0)  # and its worker was started anew
    assert preloading.hosts == {"one": 1}
    assert preloading.tick(8.0) == []  # the only site that A has is B's host
    preloading.runs(3, "two", A, 9.0)
    assert preloading.tick(68.0) == [Want("two", wanted=True)]


def test_a_host_that_is_no_more_is_replaced():
    preloading = Preloading(60.0)
    preloading.runs(1, "one", A, 0.0)
    preloading.runs(2, "two", A, 0.0)
    preloading.tick(2.0)
    preloading.lost("two", 10.0)
    preloading.lost("other", 10.0)
    preloading.gone(2, 10.0)
    assert preloading.tick(12.0) == [Want("one", wanted=True)]
    preloading.gone(1, 20.0)
    preloading.lost("one", 30.0)
    assert preloading.deadline() is None


def test_those_that_are_adopted():
    preloading = Preloading(60.0)
    preloading.hosted("one", A, 0.0)  # its servers have gone
    assert preloading.deadline() == 60.0
    preloading.hosted("two", A, 1.0)  # two of them: the last one has the place
    assert preloading.hosts == {"two": 0}
    assert preloading.tick(61.0) == [Want("two", wanted=False)]
    preloading.runs(1, "one", A, 70.0)
    preloading.clear()
    assert preloading.deadline() is None
    assert preloading.hosts == {}
