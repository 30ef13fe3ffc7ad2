"""What was used most is started again by the next Luisito, without a request."""

import json
import re

from tests.integration.test_control import luisito, status_of


def test_the_sites_used_most_are_up_after_a_stop_and_a_start(serve):
    """In that order; what is no site any more is passed over, and no more start than it says."""
    first = serve({"STATE_DIR": "state"})
    for site in ("a", "b", "c"):
        assert first.request(host=f"{site}.localhost").status == 200
    assert not re.search("[Rr]ewarm", first.log())
    assert first.stop() == 0
    file = first.folder / "state" / "uses.json"
    names = {one.name for one in file.parent.iterdir()}
    assert names == {file.name, "reuse.json", "history.sqlite"}
    assert file.stat().st_mode & 0o7777 == 0o640
    found = json.loads(file.read_text())
    assert [round(row[1]) for row in found["sites"]] == [1, 1, 1]
    for row in found["sites"]:  # as if c had been used more, and a site that has gone
        row[1] += {"c.localhost": 3, "b.localhost": 1}.get(row[0], 0)
    found["sites"].insert(0, ["gone.example", 9, None])
    file.write_text(json.dumps(found))

    second = serve({"STATE_DIR": str(file.parent), "REWARM": 2})
    second.wait_for_log("Rewarmed 2 of 2 sites, 1 passed over", 60)
    ready = re.findall(r"(\S+): pid \d+ ready", second.log())
    assert ready == ["c.localhost", "b.localhost"]
    assert status_of(second)["rewarming"]["started"] == 2
    assert "rewarmed     2 of 2 sites" in luisito(second, "status").stdout
    assert second.request(host="c.localhost").status == 200
    assert len(second.servers()) == 2
