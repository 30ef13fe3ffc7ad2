"""Examples of what is imported: folders with what they become, each in one text.

`-- PATH --` begins a file and `-- PATH -> TARGET --` is a link; absolute targets are in the folder.
`== import SOURCE... ==` is the command; after it `== NAME.toml ==` is a site file and `== list ==`
what is said. %(folder)s stands for the folder.
"""

import re
import shlex
from pathlib import Path

FOLDER = Path(__file__).parent / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
_MARK = re.compile(r"^(--|==) (.+) \1$", re.MULTILINE)


class Example:
    """An example, laid out in a folder."""

    def __init__(self, name, folder):
        self.folder, self.path = folder, FOLDER / f"{name}.txt"
        _, *parts = _MARK.split(self.path.read_text())
        self.expected, self.argv = {}, []
        for kind, what, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if kind == "--":
                self._lay(what, text.removeprefix("\n"))
            elif what.startswith("import "):
                self.argv = shlex.split(what)
            else:
                self.expected[what] = text.removeprefix("\n")

    def _lay(self, what, text):
        name, arrow, target = what.partition(" -> ")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(f"{self.folder}{target}" if target.startswith("/") else target)
        else:
            path.write_text(text)

    def said(self, text):
        """An output, without the name of the folder."""
        return text.replace(str(self.folder), "<folder>")
