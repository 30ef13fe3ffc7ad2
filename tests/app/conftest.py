"""What of these tests is for the interpreter at hand."""

from __future__ import annotations

import sys

# Before Python 3.12 no objects live for ever: test_warming.py holds that none are made to.
collect_ignore = [] if sys.version_info >= (3, 12) else ["test_immortal.py"]
