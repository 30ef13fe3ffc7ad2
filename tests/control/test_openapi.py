"""The description of the control socket (OpenAPI) and what a real one answers are the same."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luisito.control.resources.described import text
from tests.harness.relay import relay

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports is none of ours
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance

# Which names are hosts, JSON Schema cannot say.
SURE = [positive_data_acceptance]
DESCRIPTION = json.loads(text())
METHODS = ("get", "put", "post", "delete")
# It leads to another process, which the others could not be asked of meanwhile (test_reload does).
LEFT_OUT = {("POST", "/restart")}
# Answers that go on until somebody leaves.
ENDLESS = {("GET", "/events/stream")}

SITES = st.sampled_from(["a.localhost", "b.localhost", "A.localhost.", "c.localhost"])
NO_SITES = st.sampled_from(["nowhere.example", "-", "a..b", "a.localhost/app", "%", "\N{SNOWMAN}"])


def described():
    return {
        f"{method.upper()} {path.replace('{', '').replace('}', '')}"
        for path, methods in DESCRIPTION["paths"].items()
        for method in methods
        if method in METHODS
    }


def operations():
    for path, methods in DESCRIPTION["paths"].items():
        for method in methods:
            key = method.upper(), path
            if method in METHODS and key not in LEFT_OUT | ENDLESS:
                yield key


def test_all_answers_are_as_described(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost")
    server.wait_for_log("Control socket: ")
    with relay(f"{server.runtime}/control.sock") as port:
        ask(f"http://127.0.0.1:{port}")


def ask(base):
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    found = schema["/"]["GET"].Case().call(base_url=base).json()["resources"]
    assert set(found) == described()
    for method, path in operations():
        operation = schema[path][method]

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
