"""The difference between two JSON values as a JSON Patch (RFC 6902): add, remove and replace."""

from __future__ import annotations

from typing import Any

from timestep.errors import DocumentError

Operation = dict[str, Any]


def diff(old: Any, new: Any) -> list[Operation]:
    """The operations that turn ``old`` into ``new``; values are shared with ``new``."""
    operations: list[Operation] = []
    _diff(old, new, "", operations)
    return operations


def apply(value: Any, patch: list[Operation]) -> Any:
    """``value`` with the operations applied; ``value`` itself and its parts stay as they are.

    Raises ``DocumentError`` (``malformed``) where an operation has no place to work on.
    """
    root = [value]
    owned: dict[int, Any] = {id(root): root}
    for operation in patch:
        path = operation["path"]
        steps = [_unescape(step) for step in path.split("/")[1:]] if path else []
        try:
            container, key = _descend(root, steps, owned)
            _operate(container, key, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DocumentError(
                f"the residue does not fit: nothing to {operation['op']} at {path!r}",
                code="malformed",
                pointer=path,
            ) from error
    return root[0]


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal, telling true from 1."""
    if type(left) is not type(right):
        return left == right and not isinstance(left, bool) and not isinstance(right, bool)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            item is right[key] or same(item, right[key]) for key, item in left.items()
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(
            item is other or same(item, other) for item, other in zip(left, right, strict=True)
        )
    return bool(left == right)


def _diff(old: Any, new: Any, path: str, operations: list[Operation]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        if old is new:
            return
        for key in old:
            if key not in new:
                operations.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key, item in new.items():
            if key not in old:
                operations.append({"op": "add", "path": f"{path}/{_escape(key)}", "value": item})
            elif not _equal(old[key], item):
                _diff(old[key], item, f"{path}/{_escape(key)}", operations)
    elif isinstance(old, list) and isinstance(new, list):
        _diff_lists(old, new, path, operations)
    elif not same(old, new):
        operations.append({"op": "replace", "path": path, "value": new})


def _diff_lists(old: list[Any], new: list[Any], path: str, operations: list[Operation]) -> None:
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if not _equal(before, after):
                _diff(before, after, f"{path}/{index}", operations)
        return
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and _alike(old[start], new[start]):
        start += 1
    tail = 0
    while tail < shorter - start and _alike(old[-1 - tail], new[-1 - tail]):
        tail += 1
    middle = shorter - start - tail
    for index in range(len(old) - tail - 1, start + middle - 1, -1):
        operations.append({"op": "remove", "path": f"{path}/{index}"})
    for index in range(start + middle, len(new) - tail):
        operations.append({"op": "add", "path": f"{path}/{index}", "value": new[index]})
    for index in [*range(start + middle), *range(len(new) - tail, len(new))]:
        before = old[index if index < start + middle else index - len(new) + len(old)]
        if not _equal(before, new[index]):
            _diff(before, new[index], f"{path}/{index}", operations)


def _alike(old: Any, new: Any) -> bool:
    """Whether two list entries are versions of the same thing, so patching beats replacing."""
    if isinstance(old, dict) and isinstance(new, dict):
        return bool(
            old.get("type") == new.get("type")
            and old.get("raw_item") == new.get("raw_item")
            and old.get("call_id") == new.get("call_id")
        )
    return _equal(old, new)


def _equal(old: Any, new: Any) -> bool:
    """Equality at C speed; whoever applies the patch looks closer (``same``)."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    return old is new or bool(old == new)


def _descend(root: list[Any], steps: list[str], owned: dict[int, Any]) -> tuple[Any, Any]:
    """The container of the last step, copied on the way where it is not ours yet."""
    container: Any = root
    key: Any = 0
    for step in steps:
        child = container[key]
        if not isinstance(child, dict | list):
            raise TypeError(step)
        if id(child) not in owned:
            child = child.copy()
            owned[id(child)] = child
            container[key] = child
        container = child
        key = step if isinstance(child, dict) else _index(step, len(child))
    return container, key


def _index(step: str, length: int) -> int:
    if step == "-":
        return length
    if not step.isascii() or not step.isdigit():
        raise ValueError(step)
    return int(step)


def _operate(container: Any, key: Any, operation: Operation) -> None:
    op = operation["op"]
    if op == "remove":
        del container[key]
    elif op == "replace":
        container[key]
        container[key] = operation["value"]
    elif op == "add":
        if isinstance(container, dict):
            container[key] = operation["value"]
        elif key <= len(container):
            container.insert(key, operation["value"])
        else:
            raise IndexError(key)
    else:
        raise ValueError(op)


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1") if "~" in step or "/" in step else step


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step
