"""Does to a database what it is told, one line of JSON after the other."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from timestep.errors import TimestepError
from timestep.store.postgres import open_postgres


async def work(task: dict[str, Any]) -> Any:
    backend = await open_postgres(task["url"])
    try:
        match task["do"]:
            case "append":
                for item in task["items"]:
                    await backend.add_items("chat", [item, f"{item}'"])
            case "pop":
                return [await backend.pop_item("chat") for _ in range(task["count"])]
            case "claim":
                return (await backend.claim("run", task["owner"], 60)).owner
    except TimestepError as error:
        return error.code
    finally:
        await backend.aclose()
    return "done"


for line in sys.stdin:
    print(json.dumps(asyncio.run(work(json.loads(line)))), flush=True)
