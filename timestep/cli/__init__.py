"""The `timestep` command: look at run states, check them, convert them."""

from timestep.cli.main import main

__all__ = ["main"]
