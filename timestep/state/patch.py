"""JSON Patch (RFC 6902): the difference between two JSON values, and applying one.

``apply`` knows ``add``, ``remove``, ``replace``, ``copy`` and ``move``. In the patches of ``diff``
the path of each ``add`` and ``replace`` is the place where its value is in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from io import BytesIO
from pickle import Pickler
from types import MappingProxyType
from typing import Any, Final

from timestep.errors import DocumentError
from timestep.state.alignment import alike, anchors, differs

Operation = dict[str, Any]

Memory = Mapping[tuple[str, int], bytes]
"""Parts of the lists of a value, written: by the path of the list and the index they start at."""

_BLOCK: Final = 32
_ADDING: Final = ("add", "copy", "move")


def diff(
    old: Any,
    new: Any,
    *,
    ordered: bool = False,
    before: Memory = MappingProxyType({}),
    after: dict[tuple[str, int], bytes] | None = None,
) -> list[Operation]:
    """The operations that turn ``old`` into ``new``; values are shared with ``new``.

    With ``ordered`` the keys of objects come back in the order they have in ``new``, those of
    ``new`` itself excepted: a member whose turn comes later is moved onto itself, which takes it
    out and adds it again, at the end. ``after`` is filled with what there is to remember of
    ``new``, and ``before`` is that of ``old``: where it has an entry nobody looks at ``old``.
    """
    operations: list[Operation] = []
    if type(old) is type(new) and isinstance(old, dict | list):
        remembered = {} if after is None else after
        _Difference(operations, ordered, before, remembered).between(old, new, "")
    elif not same(old, new):
        operations.append({"op": "replace", "path": "", "value": new})
    return operations


def moves(patch: list[Operation]) -> bool:
    """Whether a patch may move entries of lists, and not only set members of objects."""
    return any(
        operation["op"] != "replace" and operation["path"].rpartition("/")[2].isdigit()
        for operation in patch
    )


def apply(value: Any, patch: list[Operation], *, owned: bool = False) -> Any:
    """``value`` with the operations applied; ``value`` itself and its parts stay as they are.

    With ``owned`` the value is changed in place, nothing of it being needed elsewhere.

    Raises ``DocumentError`` (``malformed``) where an operation is none, or has no place to work on.
    """
    copies = _Copies(value, owned)
    for operation in patch:
        try:
            path = operation["path"]
            parent, slash, step = path.rpartition("/")
            if not slash:
                copies = _Copies(_new_root(path, operation), owned=False)
                continue
            added, taken = copies.value(operation)
            container = copies.at(parent)
            if _operate(container, _key(container, step), operation["op"], added) or taken:
                copies.forget()
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise _unfit(operation) from error
    return copies.root


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


def step(key: str | int) -> str:
    """One step of a JSON Pointer, escaped (RFC 6901)."""
    return f"/{key if isinstance(key, int) else _escape(key)}"


class _Copies:
    """The containers a patch works in, each copied once from where it is shared."""

    def __init__(self, value: Any, owned: bool) -> None:
        shared = isinstance(value, dict | list) and not owned
        self.root = value.copy() if shared else value
        self._owned = owned
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
        if not self._owned and id(child) not in self._own:
            child = container[key] = child.copy()
            self._own[id(child)] = child
        self._by_path[path] = child
        return child

    def value(self, operation: Operation) -> tuple[Any, bool]:
        """What an operation puts in its place, and whether it was taken from another one."""
        op = operation["op"]
        if op == "remove":
            return None, False
        if op not in ("copy", "move"):
            return operation["value"], False
        source = operation["from"]
        parent, slash, step = source.rpartition("/")
        if not slash or (op == "move" and operation["path"].startswith(f"{source}/")):
            raise ValueError(source)
        container = self.at(parent)
        key = _key(container, step)
        if op == "copy":
            return deepcopy(container[key]), False
        value = container[key]
        del container[key]
        if source != operation["path"]:
            self.forget()
            return value, True
        return value, isinstance(container, list)

    def forget(self) -> None:
        """Forget where things are, after some of them were moved or taken out."""
        self._by_path = {"": self.root}


class _Difference:
    """Collects the operations between two values that are not equal."""

    def __init__(
        self,
        operations: list[Operation],
        ordered: bool,
        before: Memory,
        after: dict[tuple[str, int], bytes],
    ) -> None:
        self._operations = operations
        self._ordered = ordered
        self._before = before
        self._after = after
        self._equal = _identical if ordered else _equal

    def between(self, old: Any, new: Any, path: str) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            if path and differs(old, new):
                self._add("replace", path, new)
            else:
                self._objects(old, new, path)
        elif isinstance(old, list) and isinstance(new, list):
            self._lists(old, new, path)
        else:
            self._add("replace", path, new)

    def _add(self, op: str, path: str, value: Any) -> None:
        self._operations.append({"op": op, "path": path, "value": value})

    def _objects(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        for key in old:
            if key not in new:
                self._operations.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        staying = _staying(old, new) if path and self._ordered else len(new)
        for index, (key, item) in enumerate(new.items()):
            place = f"{path}/{_escape(key)}"
            if key not in old:
                self._add("add", place, item)
                continue
            if index >= staying:
                self._operations.append({"op": "move", "from": place, "path": place})
            before = old[key]
            # A container is not compared twice: what is equal in it gives no operation.
            inside = self._ordered and isinstance(item, dict | list) and type(before) is type(item)
            if before is not item and (inside or not self._equal(before, item)):
                self.between(before, item, place)

    def _lists(self, old: list[Any], new: list[Any], path: str) -> None:
        """Patch a list, its entries paired: which one became which, in order.

        The common start and end are versions of the same entries. Between them the entries that
        can be told by their identity are anchors, as many as keep their order; what lies between
        two anchors is paired from the front. The others were taken out or are new.
        """
        start, changed = self._common(old, new, path)
        tail, behind = self._common(old[start:][::-1], new[start:][::-1])
        before, after = len(old) - tail, len(new) - tail
        pairs: list[tuple[int, int]] = []
        left = right = start
        for anchor in [*anchors(old, new, start, before, after), (before, after)]:
            pairs += zip(range(left, anchor[0]), range(right, anchor[1]), strict=False)
            pairs.append(anchor)
            left, right = anchor[0] + 1, anchor[1] + 1
        pairs.pop()
        gone = {*range(start, before)}.difference(pair[0] for pair in pairs)
        for index in sorted(gone, reverse=True):
            self._operations.append({"op": "remove", "path": f"{path}/{index}"})
        fresh = {*range(start, after)}.difference(pair[1] for pair in pairs)
        for index in sorted(fresh):
            self._add("add", f"{path}/{index}", new[index])
        for one, other in [
            *((index, index) for index in changed),
            *self._differing(old, new, pairs),
            *((len(old) - 1 - index, len(new) - 1 - index) for index in reversed(behind)),
        ]:
            self.between(old[one], new[other], f"{path}/{other}")

    def _common(
        self, old: list[Any], new: list[Any], path: str | None = None
    ) -> tuple[int, list[int]]:
        """How many entries at the start are versions of each other, and which of them differ.

        Most entries of a long list are equal, so they are compared many at a time.
        """
        shorter = min(len(old), len(new))
        changed: list[int] = []
        for start in range(0, shorter, _BLOCK):
            end = min(start + _BLOCK, shorter)
            if path is not None and self._ordered and end - start == _BLOCK:
                written = self._after[path, start] = _written(new[start:end])
                known = self._before.get((path, start))
                if written == (_written(old[start:end]) if known is None else known):
                    continue
            elif self._equal(old[start:end], new[start:end]):
                continue
            for index in range(start, end):
                if self._equal(old[index], new[index]):
                    continue
                if not alike(old[index], new[index]):
                    return index, changed
                changed.append(index)
        return shorter, changed

    def _differing(
        self, old: list[Any], new: list[Any], pairs: list[tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        """The pairs that are not equal; those that follow each other are compared together."""
        at = 0
        while at < len(pairs):
            one, other = pairs[at]
            size = 1
            while size < _BLOCK and pairs[at + size : at + size + 1] == [
                (one + size, other + size)
            ]:
                size += 1
            if not self._equal(old[one : one + size], new[other : other + size]):
                yield from (
                    pair
                    for pair in pairs[at : at + size]
                    if not self._equal(old[pair[0]], new[pair[1]])
                )
            at += size


def _staying(old: dict[str, Any], new: dict[str, Any]) -> int:
    """How many of the first keys of ``new`` are in ``old``, in that order."""
    left = iter(old)
    count = 0
    for key in new:
        if key not in left:
            break
        count += 1
    return count


def _equal(old: Any, new: Any) -> bool:
    """Equality at C speed; whoever applies the patch looks closer (``same``)."""
    return bool(old == new) and (type(old) is bool) is (type(new) is bool)


def _identical(old: Any, new: Any) -> bool:
    """Equality that tells true from 1 and one order of keys from another, at C speed."""
    return _written(old) == _written(new)


def _written(value: Any) -> bytes:
    """A value as bytes that depend on nothing else: ``fast`` leaves out what is shared."""
    buffer = BytesIO()
    pickler = Pickler(buffer, 5)
    pickler.fast = True
    pickler.dump(value)
    return buffer.getvalue()


def _unfit(operation: Any) -> DocumentError:
    known = operation if isinstance(operation, dict) else {}
    path = known.get("path")
    return DocumentError(
        f"the patch does not fit: nothing to {known.get('op')} at {path!r}",
        code="malformed",
        pointer=path if isinstance(path, str) else None,
    )


def _new_root(path: str, operation: Operation) -> Any:
    if path or operation["op"] not in ("add", "replace"):
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


def _operate(container: Any, key: Any, op: str, value: Any) -> bool:
    """Do one operation; whether a container was taken out or moved by it."""
    if op in _ADDING and isinstance(container, list):
        if key > len(container):
            raise IndexError(key)
        container.insert(key, value)
        return bool(key < len(container) - 1)
    if op in _ADDING:
        before = container.get(key)
        container[key] = value
    elif op == "replace":
        before = container[key]
        container[key] = value
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
