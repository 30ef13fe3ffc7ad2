"""`django` and `app` in site files: what the records of the site say then."""

from luisito.settings.sites.records import run_record
from tests.sites.made import refusal, settings, site


def run_of(text, common=None):
    common = common or settings()
    return run_record(site(text, common=common), common)


def test_a_factory_with_arguments():
    run = run_of("app = \"shop:make('100%')\"")
    assert run["command"][3] == "shop:make('100%%')"


def test_one_in_its_folder_is_the_virtual_environment():
    assert run_of('django = "/srv/shop"')["finds_virtualenv"]
    assert run_of('app = "shop:app"\npreload = false')["finds_virtualenv"]
    assert "finds_virtualenv" not in run_of('command = "serve"')


def test_where_others_are_to_listen_is_not_told():
    """The settings speak to servers of another way; this one's socket is handed over."""
    common = settings(ENV={"BIND": "%PORT", "A": "1"})
    run = run_of('app = "shop:app"\nenv.B = "%FD"', common)
    assert run["env"] == {"A": "1", "B": "%FD"}
    assert run_of("", common)["env"] == {"BIND": "%PORT", "A": "1"}
    assert "exclude each other" in refusal('app = "shop:app"\nenv.BIND = "%PORT"', common=common)
