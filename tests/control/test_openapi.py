"""The description of the control socket (OpenAPI) and what a real one answers are the same.

So is that of what ADMIN_LISTEN has beside, the paths with a server of their own.
"""

from __future__ import annotations

import http.client
import json
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luisito.control.resources.described import text
from tests.harness.relay import relay
from tests.integration.test_admin_listen import TOKEN, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports is none of ours
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance

# Which names are hosts, JSON Schema cannot say.
SURE = [positive_data_acceptance]
DESCRIPTION = json.loads(text())
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
METHODS = ("get", "put", "post", "delete")
# It leads to another process, which the others could not be asked of meanwhile (test_reload does).
LEFT_OUT = {("POST", "/restart")}
# Answers that go on until somebody leaves.
ENDLESS = {("GET", "/events/stream")}
PAGE = Path(__file__).parent.parent.parent / "docs/page.md"

SITES = st.sampled_from(["a.localhost", "b.localhost", "A.localhost.", "c.localhost"])
NO_SITES = st.sampled_from(["nowhere.example", "-", "a..b", "a.localhost/app", "%", "\N{SNOWMAN}"])


def operations(*, page=False):
    """(method, path) of those at the control socket, or of those that only ADMIN_LISTEN has."""
    for path, methods in DESCRIPTION["paths"].items():
        for method in methods:
            if method in METHODS and ("servers" in methods) == page:
                yield method.upper(), path


def described(*, page=False):
    return {
        f"{method} {path.replace('{', '').replace('}', '')}"
        for method, path in operations(page=page)
    }


def test_all_answers_are_as_described(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    server.wait_for_log("Control socket: ")
    with relay(f"{server.runtime}/control.sock") as port:
        base = f"http://127.0.0.1:{port}"
        found = SCHEMA["/"]["GET"].Case().call(base_url=base).json()["resources"]
        assert set(found) == described()
        ask(base)


def test_all_that_the_page_has_beside_is_as_described(serve):
    named = re.findall(
        r"^\| `((?:GET|POST) /\S+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(named) == described(page=True)
    _, port = serving(serve, settings={"ADMIN_TOKEN": TOKEN})
    base = f"http://127.0.0.1:{port}"
    fields = {"X-Luisito": "1", "Authorization": f"Bearer {TOKEN}"}
    answers = {}
    for method, path in sorted(set(operations(page=True)) - ENDLESS):
        case = SCHEMA[path][method].Case(headers=fields)
        answers[path] = case.call_and_validate(base_url=base, timeout=20)
        assert answers[path].status_code == 200
    assert answers["/whoami"].json()["uid"] is None
    cookie = answers["/login"].headers["set-cookie"][0].partition(";")[0]
    session = {"X-Luisito": answers["/login"].json()["key"], "Cookie": cookie}
    told = SCHEMA["/whoami"]["GET"].Case(headers={**session, "Via": "1.1 x"}).call(base_url=base)
    assert told.json() == answers["/whoami"].json()
    ask(base, page=True)


def test_the_stream_is_as_described(serve):
    server, port = serving(serve)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/events/stream")
    response = connection.getresponse()
    (kind,) = DESCRIPTION["paths"]["/events/stream"]["get"]["responses"]["200"]["content"]
    assert response.headers["Content-Type"] == kind
    checks = {
        "hello": lambda data: data == {},
        "rows": lambda data: as_in("Rows", data),
        "status": lambda data: as_in("Status", data),
        "events": lambda data: all(as_in("Event", {**one, "process": 1}) for one in data["events"]),
    }
    seen = set()
    while seen != set(checks):
        field, _, kind = response.readline().decode().rstrip("\n").partition(": ")
        if field != "event":
            continue
        data = json.loads(response.readline().removeprefix(b"data: "))
        assert checks[kind](data)
        if kind == "hello":
            server.warm("a.localhost")
        seen.add(kind)
    connection.close()


def as_in(name, data):
    """Whether something is as a schema has it; else an exception says what is not."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    Draft202012Validator(schema).validate(data)
    return True


def ask(base, **how):
    for method, path in sorted(set(operations(**how)) - LEFT_OUT - ENDLESS):
        operation = SCHEMA[path][method]

        @given(case=operation.as_strategy(), site=st.one_of(SITES, NO_SITES))
        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answers_as_described(case, site):
            if "SITE" in case.path_parameters:
                case.path_parameters["SITE"] = site
            case.call_and_validate(base_url=base, timeout=20, excluded_checks=SURE)

        answers_as_described()


@pytest.mark.parametrize("name", sorted(DESCRIPTION["components"]["schemas"]))
def test_each_schema_is_one(name):
    Draft202012Validator.check_schema(DESCRIPTION["components"]["schemas"][name])
