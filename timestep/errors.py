"""Every error Timestep raises.

::

    TimestepError
    ├── DocumentError          the portable document is not readable
    ├── SnapshotError          the native snapshot is not one this port reads
    ├── CrossingError          the run cannot go on in the other language
    ├── GraphError             the live agents lack something the run names
    ├── LoadError              the official SDK did not restore the run
    ├── StoreError             a run or session cannot be kept, read or held there
    ├── ApprovalError          a decision does not fit the call it is for
    ├── ModelError             the model cannot be asked, or not asked this
    │   └── OllamaError        the Ollama server refused, failed or was not there
    └── InterruptionException  the run stopped for a decision

The codes are those of ``schemas/errors.json``, equal in every port.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final

HINTS: Final = MappingProxyType(
    {
        "malformed": "Check that the file is complete and was not edited by hand; "
        "`timestep validate` names the first place that is wrong.",
        "not-a-run-state": "Give a document written by Timestep, or convert a native snapshot "
        "with `timestep convert` first.",
        "newer-version": "Upgrade Timestep to a release that reads this version of the format.",
        "unsafe-integer": "Write the integer as a string, or keep the run in Python.",
        "foreign-writer": "Convert the snapshot with the Timestep port of the language that "
        "wrote it.",
        "unknown-schema": "Install the SDK release that wrote the snapshot, or a Timestep release "
        "that knows it.",
        "run-completed": "Start a new run with this run's history as its input items.",
        "step-missing": "Resume the run in the language that wrote it; its current step was lost.",
        "handoff-step": "Let the language that wrote the run finish the handoff, then save again.",
        "response-accepted": "Let the language that wrote the run process the accepted response, "
        "then save again.",
        "duplicate-agent": "Give every agent of the graph its own name and start the run again.",
        "pending-session-write": "Resume once in the language that wrote the run, so the session "
        "write is settled, then save again.",
        "terminal-unrecoverable": "Read the final output where the run ended; it cannot be "
        "resumed.",
        "sandbox-state": "Resume in the language that wrote the run; its sandbox exists only "
        "there.",
        "call-in-flight": "Find out whether the tool's effect happened, then resume in the "
        "language that wrote the run.",
        "ambiguous-call": "Resume in the language that wrote the run; a call id names two "
        "different calls.",
        "unknown-call": "Resume in TypeScript; Python might run a call TypeScript passed over.",
        "mcp-binding-unknown": "Upgrade @openai/agents to 0.19 or newer, reach the interruption "
        "again and save, or convert with assume_no_local_mcp.",
        "unsupported-approval": "Decide this call in the language that wrote the run.",
        "unsupported-item": "Resume in the language that wrote the run.",
        "context-omitted": "Pass the run's context: the snapshot does not hold its data.",
        "ambiguous-approval": "Resume in the language that wrote the run, or decide the call "
        "anew before saving.",
        "guardrails-unknown": "Upgrade @openai/agents to 0.19 or newer and save again, or convert "
        "with assume_input_guardrails_completed and assume_no_local_mcp.",
        "agent-missing": "Give the agents an agent of this name, reachable by handoff or as a "
        "tool.",
        "tool-missing": "Give the agent the tool of this name.",
        "handoff-missing": "Give the agent a handoff to the named agent.",
        "ambiguous-agent": "Give every agent of the graph its own name.",
        "load-failed": "Check that the agents are those the run was started with.",
        "self-check-failed": "Check that the agents are those the run was started with, and "
        "report the document if they are.",
        "state-not-found": "Check the location; nothing was saved there.",
        "revision-not-found": "List the revisions with history(); pruned ones are gone.",
        "unknown-location": "Give the path of a .json file (one run) or of a folder (many runs), "
        "postgresql://... or pglite:<folder>.",
        "stale-state": "Load the run again, and take the step again from what is stored now.",
        "run-exists": "Choose another run id, or clear that run first.",
        "already-claimed": "Wait until the claim ends, or leave the run to its owner.",
        "claim-lost": "Load the run again before you go on: somebody else may have resumed it.",
        "damaged-history": "Load the newest revision that can be read (`loadable`) and fork it.",
        "wrong-key": "Give the key with the id the value was sealed with.",
        "newer-database": "Upgrade Timestep to a release that knows this version of the database.",
        "database-in-use": "End the other process, or use a location of its own.",
        "database-unavailable": "Start the server and check the location, or use a folder.",
        "missing-dependency": "Install the extra that is named, or use a folder, which needs none.",
        "approval-not-found": "List what waits with `timestep approvals list`.",
        "approval-mismatch": "Look at the call again: its arguments are not those you decided on.",
        "already-decided": "The first decision stands; it is applied when the run is loaded.",
        "unknown-prefix": "Use a known prefix, or add a provider for this one to the "
        "MultiModelProviderMap.",
        "missing-key": "Set OPENAI_API_KEY, or give the provider a key or a client.",
        "missing-model": "Name the model, as in openai/gpt-4.1 or ollama/llama3.",
        "unsupported-input": "Leave this item out, or give its content in a form the model takes: "
        "text, or an image as a data: URL.",
        "unsupported-setting": "Remove the setting, or use one that the model's server knows.",
        "unsupported-tool": "Use function tools and handoffs; hosted tools run only at OpenAI.",
        "tool-conflict": "Give every tool and handoff of the agent its own name.",
        "ollama-unreachable": "Start Ollama, or set OLLAMA_HOST or base_url to where it runs.",
        "ollama-refused": "Read the server's message; status tells its kind.",
        "ollama-stream-failed": "Read the server's message, and ask again if it is retryable.",
        "ollama-stream-ended": "Ask again; the connection was cut before the answer was complete.",
        "ollama-not-run": "Send at least one message that is not a system message.",
        "interrupted": "Approve or reject the interruptions on the state and run it again.",
    }
)
"""The default hint of each code: something a person can do next."""


class TimestepError(Exception):
    """Base of every Timestep error.

    ``code`` is stable and equal in every port, ``hint`` says what to do next, ``pointer`` is a
    JSON Pointer (RFC 6901) to the place in the document or snapshot, where there is one, and
    ``phase`` names the part of the work that failed.
    """

    phase: ClassVar[str] = "timestep"
    codes: ClassVar[tuple[str, ...]] = ()

    code: str
    hint: str
    pointer: str | None

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        pointer: str | None = None,
    ) -> None:
        if code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code!r}")
        super().__init__(message)
        self.code = code
        self.hint = HINTS[code] if hint is None else hint
        self.pointer = pointer

    @property
    def message(self) -> str:
        """What went wrong, without code or hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        place = f" at {self.pointer}" if self.pointer else ""
        return f"{self.code}{place}: {self.message}"


class DocumentError(TimestepError):
    """The document is no portable run state this port reads."""

    phase = "document"
    codes = ("malformed", "not-a-run-state", "newer-version", "unsafe-integer")


class SnapshotError(TimestepError):
    """The native snapshot was written by the other SDK or by one this port does not know."""

    phase = "snapshot"
    codes = ("foreign-writer", "unknown-schema")


class CrossingError(TimestepError):
    """Resuming in the other language would be wrong; ``docs/run-state.md`` lists why."""

    phase = "crossing"
    codes = (
        "run-completed",
        "step-missing",
        "handoff-step",
        "response-accepted",
        "duplicate-agent",
        "pending-session-write",
        "terminal-unrecoverable",
        "sandbox-state",
        "call-in-flight",
        "ambiguous-call",
        "unknown-call",
        "mcp-binding-unknown",
        "unsupported-approval",
        "unsupported-item",
        "context-omitted",
        "ambiguous-approval",
        "guardrails-unknown",
    )


class GraphError(TimestepError):
    """The live agents lack an agent, tool or handoff the document names."""

    phase = "graph"
    codes = ("agent-missing", "tool-missing", "handoff-missing", "ambiguous-agent")


class LoadError(TimestepError):
    """The official SDK refused the snapshot, or restored something else than was written."""

    phase = "load"
    codes = ("load-failed", "self-check-failed")


class StoreError(TimestepError):
    """A location cannot keep, read or hold a run or a session.

    ``revision`` is the revision the error is about: the one that is stored (``stale-state``) or
    the first that is damaged (``damaged-history``). ``loadable`` is the newest revision that can
    still be read (``damaged-history``). ``owner`` and ``until`` say who holds the run, and until
    when (``already-claimed``, ``claim-lost``). Each is None elsewhere.
    """

    phase = "store"
    codes: ClassVar[tuple[str, ...]] = (
        "state-not-found",
        "revision-not-found",
        "unknown-location",
        "stale-state",
        "run-exists",
        "already-claimed",
        "claim-lost",
        "damaged-history",
        "wrong-key",
        "newer-database",
        "database-in-use",
        "database-unavailable",
        "missing-dependency",
    )

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        revision: int | None = None,
        loadable: int | None = None,
        owner: str | None = None,
        until: datetime | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.revision = revision
        self.loadable = loadable
        self.owner = owner
        self.until = until


class ApprovalError(TimestepError):
    """A decision is for a call that does not wait, has other arguments, or was decided.

    ``decided_by`` and ``decided_at`` say who was first (``already-decided``), else None.
    """

    phase = "approval"
    codes = ("approval-not-found", "approval-mismatch", "already-decided")

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        decided_by: str | None = None,
        decided_at: datetime | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.decided_by = decided_by
        self.decided_at = decided_at


class ModelError(TimestepError):
    """The model of this name does not exist here, or cannot be asked for what the run wants."""

    phase = "model"
    codes: ClassVar[tuple[str, ...]] = (
        "unknown-prefix",
        "missing-key",
        "missing-model",
        "unsupported-input",
        "unsupported-setting",
        "unsupported-tool",
        "tool-conflict",
    )


class OllamaError(ModelError):
    """The Ollama server was not there, refused the request, or did not finish its answer.

    ``status`` is the HTTP status, where the failure had one; ``retryable`` says whether the same
    request may succeed later; ``body`` is what the server said: parsed JSON, or text.
    """

    codes = (
        "ollama-unreachable",
        "ollama-refused",
        "ollama-stream-failed",
        "ollama-stream-ended",
        "ollama-not-run",
    )

    def __init__(
        self,
        message: str,
        *,
        code: str = "ollama-refused",
        status: int | None = None,
        retryable: bool = False,
        body: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.retryable = retryable
        self.body = body


class InterruptionException(TimestepError):
    """The run stopped because calls wait for a decision.

    ``interruptions`` are the SDK's approval items, ``state`` is its run state to decide on, and
    ``result`` the run result that was interrupted.
    """

    phase = "run"
    codes = ("interrupted",)

    def __init__(
        self,
        interruptions: Sequence[Any],
        state: Any,
        result: Any = None,
        *,
        message: str | None = None,
    ) -> None:
        count = len(interruptions)
        super().__init__(
            message or f"The run waits for {count} decision{'' if count == 1 else 's'}.",
            code="interrupted",
        )
        self.interruptions = list(interruptions)
        self.state = state
        self.result = result
