"""With the installed wheel alone: saves a run that was not started, loads it, saves it again."""

import asyncio
import sys

from agents import Agent, RunContextWrapper, RunState

from timestep import RunStateStore, StoreError
from timestep.testing import Asked, difference

agent = Agent(name="Weather", model="gpt-4.1")


async def main(path: str) -> None:
    store = RunStateStore(path, agent)
    try:
        await store.load()
    except StoreError as error:
        if error.code != "state-not-found":
            raise
    else:
        raise AssertionError("there was a run state")
    await store.save(RunState(RunContextWrapper(None), "Hello", agent, 10))
    state = await store.load()
    assert isinstance(state, RunState)
    await store.save(state)


asked = Asked("POST", "https://api.openai.com/v1/responses", "{}")
assert difference(asked, asked) is None
asyncio.run(main(sys.argv[1]))
