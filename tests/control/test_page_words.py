"""What the page makes of its own address."""

import json
import shutil
import subprocess

import pytest

from luisito.control.front.files import _FOLDER


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("hash_", "place"),
    [
        ("", ["", ""]),
        ("#/", ["", ""]),
        ("#/advice", ["advice", ""]),
        ("#/site/a.example", ["site", "a.example"]),
        ("#/site/a.example%2Fapp", ["site", "a.example/app"]),
        ("#/site/%", ["site", "%"]),
        ("#/site/%ff/x", ["site", "%ff"]),
    ],
)
def test_where_an_address_leads(tmp_path, hash_, place):
    shutil.copy(f"{_FOLDER}/words.js", tmp_path / "words.mjs")
    script = "import { placeOf } from './words.mjs'; console.log(JSON.stringify(placeOf(%s)))"
    (tmp_path / "test.mjs").write_text(script % json.dumps(hash_))
    done = subprocess.run(["node", "test.mjs"], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout) == place
