"""The requirement set: the case ids that a release has to pass, frozen with it.

`python -m conformance.harness.requirements VERSION` writes
conformance/requirements/VERSION.yaml with every case there is; a case below `must`, or one that a
release is not scored by, is taken out of it by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .case import Case
from .errors import CaseError
from .library import Library

_KEYS = frozenset({"version", "cases", "not_scored"})


@dataclass(frozen=True)
class Requirements:
    """What release `version` has to pass; `not_scored` is id to reason."""

    version: str
    cases: frozenset[str]
    not_scored: Mapping[str, str]

    def unlisted(self, cases: Iterable[Case]) -> list[str]:
        """Must-cases that the set forgets."""
        return [
            f"requirements {self.version}: {case.id} is a must and neither required nor not_scored"
            for case in sorted(cases, key=lambda case: case.id)
            if case.level == "must" and case.id not in self.cases | set(self.not_scored)
        ]


def parse(data: Any, source: str) -> Requirements:
    """The set in the parsed file `source`. Raises CaseError."""
    if not isinstance(data, Mapping) or set(data) - _KEYS or not data.get("cases"):
        raise CaseError(f"{source}: a requirement set holds version, cases and not_scored")
    try:
        apart = {each["id"]: each["reason"] for each in data.get("not_scored") or ()}
    except (KeyError, TypeError) as error:
        raise CaseError(f"{source}: not_scored has entries of id and reason") from error
    return Requirements(str(data["version"]), frozenset(data["cases"]), apart)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.harness.requirements", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--force", action="store_true", help="write over an existing set")
    options = parser.parse_args(arguments)
    library = Library()
    path = library.root / "conformance" / "requirements" / f"{options.version}.yaml"
    if path.exists() and not options.force:
        parser.error(f"{path.name} exists, and a requirement set is frozen; --force writes over it")
    names = sorted((case.id, case.title) for case in library.cases)
    lines = [f"  - {name}  # {title}" for name, title in names]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f'version: "{options.version}"', "cases:", *lines, ""]))
    print(f"wrote {path.name}: {len(names)} cases", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
