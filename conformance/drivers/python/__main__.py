"""`python -m conformance.drivers.python`: the Python port behind JSON lines."""

from __future__ import annotations

import os
import sys

# stdout belongs to the protocol: everything else that writes to it, native code included, goes to
# stderr before any other module is loaded.
_PROTOCOL_OUT = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
sys.stdout = sys.stderr


def main() -> int:
    import asyncio

    from .loop import Loop
    from .operations import operations

    # Snapshots nest deeper than the interpreter's default allows.
    sys.setrecursionlimit(10_000)

    async def serve() -> None:
        async with operations() as table:
            await Loop(table, sys.stdin.buffer, _PROTOCOL_OUT).serve()

    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    code = main()
    _PROTOCOL_OUT.flush()
    # The thread that reads stdin may be blocked in a read that never returns.
    os._exit(code)
