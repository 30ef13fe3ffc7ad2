"""What came of a site file that is right in itself shows in the status until that is mended."""

from tests.harness import processes
from tests.integration.test_control import luisito, status_of
from tests.integration.test_sites import Sites


def test_what_did_not_come_of_a_change(serve):
    served = Sites(serve, {"a.example": ""})
    assert served.site("a.example") == "a.example"
    served.server.expect("until its file is written again", "cannot start: no such program")
    page = 'waiting_page = "/no/such/page.html"\n'
    served.write("a.example", page, 'command = ["/no/such/program", "%FD"]\n')

    def told():
        files = status_of(served.server)["site_files"]
        return files["not_replaced"], files["waiting_pages"]

    processes.until(lambda: all(told()), 20, "both to be told")
    (roll,), (unread,) = told()
    assert roll["site"] == unread["site"] == "a.example"
    assert roll["error"].startswith("no such program: '/no/such/program'")
    assert unread["error"].startswith("waiting_page '/no/such/page.html': ")
    said = luisito(served.server, "status").stdout
    assert f"a.example: {unread['error']}" in said
    assert f"and the old one stays: {roll['error']}" in said
    assert served.site("a.example") == "a.example"
    served.write("a.example", "idle_timeout = 601\n", served.command("port"))
    processes.until(lambda: not any(told()), 40, "both to be mended")
