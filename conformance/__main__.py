"""`python -m conformance [PYTEST OPTION ...]` runs the suite, or the part that the options pick."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    ini = Path(__file__).with_name("pytest.ini")
    sys.exit(pytest.main(["-c", str(ini), "--rootdir", str(ini.parents[1]), *sys.argv[1:]]))
