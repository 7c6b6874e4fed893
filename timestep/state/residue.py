"""The difference between two JSON values as a JSON Patch (RFC 6902): add, remove and replace."""

from __future__ import annotations

from typing import Any

from timestep.errors import DocumentError

Operation = dict[str, Any]


def diff(old: Any, new: Any) -> list[Operation]:
    """The operations that turn ``old`` into ``new``; values are shared with ``new``."""
    operations: list[Operation] = []
    if type(old) is type(new) and isinstance(old, dict | list):
        _diff(old, new, "", operations)
    elif not same(old, new):
        operations.append({"op": "replace", "path": "", "value": new})
    return operations


def moves(patch: list[Operation]) -> bool:
    """Whether a patch may move entries of lists, and not only set members of objects."""
    return any(
        operation["op"] != "replace" and operation["path"].rpartition("/")[2].isdigit()
        for operation in patch
    )


def apply(value: Any, patch: list[Operation]) -> Any:
    """``value`` with the operations applied; ``value`` itself and its parts stay as they are.

    Raises ``DocumentError`` (``malformed``) where an operation has no place to work on.
    """
    copies = _Copies(value)
    for operation in patch:
        path = operation["path"]
        parent, slash, step = path.rpartition("/")
        try:
            if not slash:
                copies = _Copies(_new_root(path, operation))
                continue
            container = copies.at(parent)
            moved = _operate(container, _key(container, step), operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DocumentError(
                f"the residue does not fit: nothing to {operation['op']} at {path!r}",
                code="malformed",
                pointer=path,
            ) from error
        if moved:
            copies.forget()
    return copies.root


class _Copies:
    """The containers a patch works in, each copied once from where it is shared."""

    def __init__(self, value: Any) -> None:
        self.root = value.copy() if isinstance(value, dict | list) else value
        self._by_path: dict[str, Any] = {"": self.root}
        self._own: dict[int, Any] = {id(self.root): self.root}

    def at(self, path: str) -> Any:
        """Our own copy of the container at a path."""
        found = self._by_path.get(path)
        if found is not None:
            return found
        parent, _, step = path.rpartition("/")
        container = self.at(parent)
        key = _key(container, step)
        child = container[key]
        if not isinstance(child, dict | list):
            raise TypeError(path)
        if id(child) not in self._own:
            child = container[key] = child.copy()
            self._own[id(child)] = child
        self._by_path[path] = child
        return child

    def forget(self) -> None:
        """Forget where things are, after some of them were moved or taken out."""
        self._by_path = {"": self.root}


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
    """Add the operations between two values that are not equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                operations.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key, item in new.items():
            if key not in old:
                operations.append({"op": "add", "path": f"{path}/{_escape(key)}", "value": item})
                continue
            before = old[key]
            if before is not item and not _equal(before, item):
                _diff(before, item, f"{path}/{_escape(key)}", operations)
    elif isinstance(old, list) and isinstance(new, list):
        _diff_lists(old, new, path, operations)
    else:
        operations.append({"op": "replace", "path": path, "value": new})


def _diff_lists(old: list[Any], new: list[Any], path: str, operations: list[Operation]) -> None:
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if before is not after and not _equal(before, after):
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
    return bool(old == new) and (type(old) is bool) is (type(new) is bool)


def _new_root(path: str, operation: Operation) -> Any:
    if path or operation["op"] == "remove":
        raise ValueError(path)
    return operation["value"]


def _key(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        return _unescape(step)
    if not isinstance(container, list):
        raise TypeError(step)
    if step == "-":
        return len(container)
    if not step.isascii() or not step.isdigit():
        raise ValueError(step)
    return int(step)


def _operate(container: Any, key: Any, operation: Operation) -> bool:
    """Do one operation; whether a container was taken out or moved by it."""
    op = operation["op"]
    if op == "add" and isinstance(container, list):
        if key > len(container):
            raise IndexError(key)
        container.insert(key, operation["value"])
        return bool(key < len(container) - 1)
    if op == "add":
        before = container.get(key)
        container[key] = operation["value"]
    elif op == "replace":
        before = container[key]
        container[key] = operation["value"]
    elif op == "remove":
        before = container[key]
        del container[key]
    else:
        raise ValueError(op)
    return isinstance(before, dict | list) or (op == "remove" and isinstance(container, list))


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1") if "~" in step or "/" in step else step


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step
