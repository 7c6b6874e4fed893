from typing import Any


class Case: ...
