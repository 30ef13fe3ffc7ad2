"""slowhttptest's four modes: it finds the service available all the time, and so do we."""

import csv
import json
import re
import resource
import subprocess
import time

import pytest

SITE = "127.0.0.1"  # slowhttptest looks every name up
CONNECTIONS = 400
SECONDS = 12

MODES = {
    "headers": ["-H", "-i", "1", "-x", "24", "-u", "{url}/echo"],
    "body": ["-B", "-i", "1", "-x", "10", "-s", "8192", "-u", "{url}/sink"],
    "range": ["-R", "-a", "5", "-b", "3000", "-t", "HEAD", "-u", "{url}/echo"],
    "read": ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-u", "{url}/bytes/20000000"],
}


@pytest.mark.needs("slowhttptest")
@pytest.mark.parametrize("mode", MODES)
def test_1_2_3_slowhttptest(serve, mode, tmp_path):
    """FAULTS 1, 2, 3: as many slow clients as it likes, and the site is there for all others."""
    server = serve(
        {
            "ALLOWED_HOSTS": [SITE, "b.localhost"],
            "TRUSTED_PROXIES": ["unix"],
            "HEAD_TIMEOUT": 5,
            "BODY_TIMEOUT": 5,
        },
        rlimits={resource.RLIMIT_NOFILE: (4096, 4096)},
    )
    server.warm(SITE, "b.localhost")
    url = f"http://127.0.0.1:{server.port}"
    common = ["-g", "-o", "report", "-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS)]
    command = ["slowhttptest", *common, "-p", "10", *MODES[mode]]
    with subprocess.Popen(
        [word.format(url=url) for word in command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as attack:
        served = 0
        while attack.poll() is None:
            for host in (SITE, "b.localhost"):
                assert server.request(host=host).status == 200
                served += 1
            time.sleep(0.05)
        said = attack.stdout.read()
    with open(tmp_path / "report.csv") as file:
        rows = list(csv.DictReader(file))
    print(said, rows)
    assert set(re.findall(r"service available:[^A-Z]*([A-Z]+)", said)) == {"YES"}
    assert served >= 20
    # its column is the number of connections where the service was available, and 0 where not
    assert all(int(row["Service Available"]) for row in rows)
    server.stop()
    counters = json.loads(re.search(r"counters: (\{.*\})", server.log())[1])
    assert counters["connections"] >= CONNECTIONS + served
