"""What a spawner is told first, where a test or a measurement does not say otherwise."""

import os

from luisito.core import wire


def configure(**changes):
    """That of an ordinary network process whose servers only wait; with changes of its fields."""
    values = {
        "version": wire.VERSION,
        "max_servers": 20,
        "overlap": 1,
        "command": ["sleep", "1000"],
        "env": {},
        "project_path": None,
        "cwd": "/",
        "run_as": None,
        "allow_root": False,
        "min_uid": 1,
        "umask": 0o022,
        "output_log_dir": None,
        "log_max_size": 1 << 20,
        "log_keep": 5,
        "access_log": None,
        "runtime_dir": None,
        "network_gid": os.getgid(),
        "sockets": [],
    }
    return wire.Configure(**{**values, **changes})
