"""Messages of other projects' test data as further seeds, where they lie beside the project."""

import hashlib
import json
from pathlib import Path

from tests.fuzz import targets

FOLDER = Path(__file__).parents[3] / "shared" / "conformance"


def write(target: str, folder: Path) -> int:
    """Writes those that a target has a use for; returns how many."""
    convert = getattr(targets.load(target), "from_message", None)
    if convert is None:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in sorted(FOLDER.glob("*.json")):
        for message in json.loads(path.read_text()):
            data = convert(message["kind"], message["raw"].encode("latin-1"))
            if data is not None:
                name = hashlib.sha256(data).hexdigest()[:16]
                (folder / name).write_bytes(data)
                count += 1
    return count
