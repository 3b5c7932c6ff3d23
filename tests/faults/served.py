"""The made-up place as an API serves it, its files behind a server that can be told to misbehave."""

import json
from pathlib import Path
from typing import Any


def items_of(folder: Path, root: str) -> list[dict[str, Any]]:
    """The items of a catalogue folder, their assets at a range server's root."""
    found = []
    for file in sorted(folder.glob("*/*.json")):
        item = json.loads(file.read_text())
        item |= {"collection": "made-up", "links": []}
        for key, asset in item["assets"].items():
            asset["href"] = f"{root}/ok/{file.parent.name}/{key}.tif"
        found.append(item)
    return found
