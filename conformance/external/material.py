"""Where the outside material is, and its rows."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.harness.schemas import ROOT

CORPORA = (
    "python-states",
    "python-states-older",
    "typescript-states",
    "typescript-states-older",
)


def root() -> Path | None:
    """The folder of the material, or None where there is none.

    `TIMESTEP_EXTERNAL` names it; without that it is looked for beside the repository.
    """
    named = os.environ.get("TIMESTEP_EXTERNAL")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "corpus").is_dir() else None


@dataclass(frozen=True)
class Row:
    """A snapshot that an official SDK wrote or was given to load.

    `loads` says whether the SDK of the same language reads it with stub agents; `expect` is what
    its own test saw (`reject` and `refused`: it was refused).
    """

    id: str
    language: str
    schema: str
    expect: str
    loads: bool
    state: Any
    graph: Mapping[str, Any] | None
    options: tuple[str, ...]

    @property
    def broken(self) -> bool:
        """Whether its own SDK refuses it, so that nobody else has to read it."""
        return not self.loads or self.expect in ("reject", "refused")


def rows(folder: Path, corpus: str) -> Iterator[Row]:
    """The rows of a corpus file, in order."""
    with gzip.open(folder / "corpus" / f"{corpus}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            data = json.loads(line)
            yield Row(
                id=f"{corpus}/{data['id']}",
                language=data["lang"],
                schema=str(data.get("schema")),
                expect=data["expect"],
                loads=(data.get("native") or {}).get("outcome") == "loaded",
                state=data["state"] if "state" in data else data.get("text"),
                graph=data.get("graph"),
                options=tuple(data.get("options") or ()),
            )
