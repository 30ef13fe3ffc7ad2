"""The script that a site's interpreter is started with: `python3 .../luisito/app/boot.py VERB ...`.

The folder that it lies in is the package luisito_app there, and nothing else of Luisito's is found.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Do what the verb says; return the exit status."""
    here = os.path.dirname(os.path.abspath(__file__))
    # Python puts the folder of its script first on the path, unless it is told not to (-P, -I).
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    package = type(sys)("luisito_app")
    package.__path__ = [here]
    sys.modules["luisito_app"] = package
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "preload":
        from luisito_app.preload import main as run
    elif verb == "serve":
        from luisito_app.serve import main as run
    else:
        print("luisito: boot.py: write serve or preload", file=sys.stderr)
        return 2
    status: int = run(sys.argv[2:])
    return status


if __name__ == "__main__":
    sys.exit(main())
