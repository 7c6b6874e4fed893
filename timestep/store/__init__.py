"""Where run states are kept between processes and languages."""

from timestep.store.run_state_store import RunStateStore

__all__ = ["RunStateStore"]
