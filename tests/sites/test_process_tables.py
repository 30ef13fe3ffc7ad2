"""[[process]] in site files: what may stand there, and what is said of what may not."""

import pytest

from luisito.settings.sites.processes import MOST, Process
from tests.sites.made import refusal, site

NAME = "must be of lower-case letters, digits, - and _, and of 32 at most"
ONE = '[[process]]\nname = "w"\ncommand = "x"\n'
SOCKET = "a process has no socket; a site's server has one"
CELERY = '"celery -A shop worker"'


def test_a_worker_in_two_lines():
    assert site(ONE).process == (Process(name="w", command="x"),)
    assert site("").process == ()


def test_two_workers():
    text = '[[process]]\nname = "a"\ncommand = ["x", "%HOST"]\n' + ONE
    made = site(text).process
    assert [(one.name, one.command) for one in made] == [("a", ("x", "%HOST")), ("w", "x")]


def test_those_of_a_base():
    """All of them, or those of the file."""
    bases = {"b": ONE}
    assert site('extends = "b"', bases=bases).process[0].name == "w"
    other = ONE.replace('"w"', '"v"')
    assert [one.name for one in site(f'extends = "b"\n{other}', bases=bases).process] == ["v"]


A_LIST = "must be a list of tables: write [[process]] before each; write process = "
SIGNAL = 'must be "TERM" or "INT" or "QUIT" or "HUP" or "USR1" or "USR2"'
COMMAND = "must be a command, as a string or a list of strings"
ANOTHER = "must be another one, as a process before it has that name"
SAID = {
    "process = 3": [
        f'1: process = 3: {A_LIST}[{{ name = "worker", command = {CELERY} }}]',
    ],
    '[process]\nname = "w"\ncommand = "x"': [
        f'1: process = {{ name = "w", command = "x" }}: {A_LIST}[{{ name = "w", command = "x" }}]',
    ],
    "process = [3]": [
        "1: process[0] = 3: must be a table; ",
        f'write process[0] = {{ name = "worker", command = {CELERY} }}',
    ],
    '[[process]]\nname = "w"': [
        '1: process[0] = { name = "w" }: must have a command; ',
        f'write process[0] = {{ name = "w", command = {CELERY} }}',
    ],
    '[[process]]\ncommand = "x"': [
        '1: process[0] = { command = "x" }: must have a name; ',
        'write process[0] = { command = "x", name = "worker" }',
    ],
    ONE + 'wiht = "always"': [
        '4: process[0].wiht = "always": is no key of a process; the nearest is with',
    ],
    ONE + 'with = "allways"': [
        '4: process[0].with = "allways": must be "site" or "always"; write',
    ],
    ONE + "memory_max = 3": [
        "4: process[0].memory_max = 3: is a key of the site, and of no process; ",
        "write it above the first [[process]]",
    ],
    ONE + '[[wake]]\npath = "/x"\nidle_timeout = 9': [
        "6: wake[0].idle_timeout = 9: is a key of the site, and of no wake; ",
        "write it above the first [[wake]]",
    ],
    ONE.replace('"w"', '"My Worker"'): [
        f'2: process[0].name = "My Worker": {NAME}; write process[0].name = "my-worker"',
    ],
    ONE.replace('"w"', '"."'): [
        f'2: process[0].name = ".": {NAME}; write process[0].name = "worker"',
    ],
    ONE + ONE: [
        f'process[1].name = "w": {ANOTHER}; write process[1].name = "w-2"',
    ],
    ONE.replace('"x"', '"x %PORT"'): [
        f'3: process[0].command = "x %PORT": must not have %PORT: {SOCKET}; ',
        f"write process[0].command = {CELERY}",
    ],
    ONE.replace('"x"', '"x \'y"'): [
        '3: process[0].command = "x \'y": must be a command: no closing quotation; ',
    ],
    ONE.replace('"x"', '["x", 3]'): [
        "process[0].command[1] = 3: must be a string without NUL; ",
        'write process[0].command[1] = "3"',
    ],
    ONE.replace('"x"', "3"): [
        f"3: process[0].command = 3: {COMMAND}; write process[0].command = {CELERY}",
    ],
    ONE + 'env.A = "%FD"': [
        f'process[0].env.A = "%FD": must not have %FD: {SOCKET}; write process[0].env.A = ""',
    ],
    ONE + "env = 3": [
        "4: process[0].env = 3: must be a table of strings; write process[0].env = {}",
    ],
    ONE + 'with = "server"': [
        '4: process[0].with = "server": must be "site" or "always"; ',
        'write process[0].with = "site"',
    ],
    ONE + 'restart = "no"': [
        '4: process[0].restart = "no": must be "always" or "on-failure"; ',
        'write process[0].restart = "always"',
    ],
    ONE + 'stop_signal = "SIGINT"': [
        f'process[0].stop_signal = "SIGINT": {SIGNAL}; write process[0].stop_signal = "INT"',
    ],
    ONE + 'stop_timeout = "1 min"': [
        "must be a number of seconds above 0; write process[0].stop_timeout = 60",
    ],
    "".join(ONE.replace('"w"', f'"w{n}"') for n in range(MOST + 1)): [
        f"must not be more than {MOST}; write process = [",
    ],
}


@pytest.mark.parametrize("text", SAID)
def test_what_may_not_stand_there(text):
    assert "".join(SAID[text]) in refusal(text).removeprefix("shop.example.toml:")
