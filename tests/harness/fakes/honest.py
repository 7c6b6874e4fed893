"""An honest driver of a tiny port: one agent, function tools that need approval, no SDK.

Honest about everything but the lie it is told to tell: `--lie NAME`. `--language` only changes
the name in `hello` and in the documents it writes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_NONE: Json = {"requests": 0, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
_USAGE = {**_NONE, "input_tokens_details": {}, "output_tokens_details": {}, "entries": []}


class Refusal(Exception):
    """Becomes an `err` reply."""

    def __init__(self, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class Port:
    """The tiny port. What it knows of a run is `input`, `items` and `decisions`."""

    def __init__(self, language: str, lie: str) -> None:
        self.language = language
        self.lie = lie
        self.base_url = ""
        self.effects: list[Json] = []
        self.session: list[Json] | None = None
        self.input: Any = ""
        self.items: list[Json] = []
        self.decisions: dict[str, Json] = {}
        self.turn = 0
        self.kept: Json | None = None
        self.place = Path()
        self.seen: int | None = None

    def hello(self, args: Json) -> Json:
        return {
            "protocol": 1,
            "port": {"name": "tiny", "language": self.language, "version": "1"},
            "sdk": {"name": "none", "version": "1", "schema": "1"},
            "runtime": "python",
            "state": {"reads": ["1"], "writes": "1"},
            "capabilities": ["approvals", "state.convert", "state.native", "store.folder"],
        }

    def case_open(self, args: Json) -> Json:
        self.__init__(self.language, self.lie)  # type: ignore[misc]
        self.base_url = args["model"]["base_url"]
        if "session" in args:
            self.session = args["session"]["items"]
        if "store" in args:
            self.place = Path(args["store"]["location"])
        return {}

    def store_save(self, args: Json) -> Json:
        if self.lie == "dies-saving":
            os.kill(os.getpid(), signal.SIGKILL)
        stored = len(list(self.place.glob("*.json")))
        if self.lie != "saves-over" and stored and stored != self.seen:
            raise Refusal("implementation", "stale-state", f"revision {stored} is stored")
        self.place.mkdir(exist_ok=True)
        self.seen = stored + 1
        (self.place / f"{self.seen}.json").write_text(json.dumps(self._document()))
        return {"revision": self.seen}

    def store_load(self, args: Json) -> Json:
        self.seen = len(list(self.place.glob("*.json")))
        payload = json.loads((self.place / f"{self.seen}.json").read_text())
        loaded = self.state_load({"form": "portable", "payload": payload})
        del loaded["lossy"]
        return {**loaded, "revision": self.seen}

    def run_start(self, args: Json) -> Json:
        self.input = args["input"]
        return self.run_advance(args)

    def run_advance(self, args: Json) -> Json:
        while True:
            for call in self._pending():
                decision = self.decisions.get(call["call_id"])
                if decision is None:
                    return self._outcome("interrupted")
                self._settle(call, decision)
            last = self.items[-1] if self.items else {}
            if last.get("type") == "message":
                return self._outcome("completed")
            self._ask(stream=bool(args.get("stream")))

    def run_decide(self, args: Json) -> Json:
        if args["call_id"] not in [call["call_id"] for call in self._pending()]:
            raise Refusal("implementation", "no-such-call", args["call_id"])
        self.decisions[args["call_id"]] = args
        return {}

    def state_save(self, args: Json) -> Json:
        if args["form"] == "native":
            return {"payload": {"run": self._document()}}
        document = self.kept or self._document()
        if args["form"] == "file":
            Path(args["path"]).write_text(json.dumps(document))
            return {}
        core = {key: document[key] for key in document if key not in ("writer", "residue")}
        text = json.dumps(core, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self.lie == "wrong-digest":
            digest = "0" * 64
        return {"payload": document, "digest": digest, "lossy": []}

    def state_load(self, args: Json) -> Json:
        payload: Any = args.get("payload")
        if args["form"] == "file":
            try:
                payload = json.loads(Path(args["path"]).read_text())
            except ValueError as error:
                raise Refusal("implementation", "malformed", str(error)) from error
        if payload["version"] != "1":
            raise Refusal("implementation", "newer-version", payload["version"])
        self.input = payload["input"]
        self.items = [each["item"] for each in payload["items"]]
        self.turn = payload["current_turn"]
        self.decisions = {
            each["call_id"]: {key: each[key] for key in ("decision", "message") if key in each}
            for each in payload["decisions"]
        }
        if self.lie == "forgets-history":
            self.input = "?"
        if self.lie in ("loses-decisions", "passes-on"):
            self.decisions = {}
        if self.lie == "passes-on":
            self.kept = payload
        return {
            "interruptions": self._interruptions(),
            "current_agent": "assistant",
            "lossy": [],
        }

    def state_convert(self, args: Json) -> Json:
        return {"payload": args["payload"]["run"], "lossy": [], "checked": False}

    def session_read(self, args: Json) -> Json:
        start = self.input if isinstance(self.input, list) else [_user(self.input)]
        return {"items": [*(self.session or []), *start, *self.items]}

    def effects_read(self, args: Json) -> Json:
        return {"effects": self.effects}

    def nothing(self, args: Json) -> Json:
        return {}

    def _pending(self) -> list[Json]:
        done = {each["call_id"] for each in self.items if each["type"] == "function_call_output"}
        calls = [each for each in self.items if each["type"] == "function_call"]
        return [each for each in calls if each["call_id"] not in done]

    def _settle(self, call: Json, decision: Json) -> None:
        if decision["decision"] == "approve":
            effect = {"tool": call["name"], "arguments": json.loads(call["arguments"])}
            self.effects += [effect, effect] if self.lie == "runs-twice" else [effect]
            output = "done"
        else:
            output = decision.get("message", "rejected")
        self.items.append(
            {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        )

    def _ask(self, *, stream: bool) -> None:
        start = self.input if isinstance(self.input, list) else [_user(self.input)]
        body: Json = {"model": "gpt-x", "input": [*start, *self.items]}
        if stream:
            body["stream"] = True
        if self.language == "typescript" and not stream:
            body["stream"] = False
        request = urllib.request.Request(
            f"{self.base_url}/responses",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refusal("implementation", "model", error.read().decode()) from error
        if stream:
            data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            response = json.loads(data[-1])["response"]
        else:
            response = json.loads(text)
        self.turn += 1
        self.items += response["output"]

    def _outcome(self, status: str) -> Json:
        outcome: Json = {"status": status, "turn": self.turn, "last_agent": "assistant"}
        if status == "completed":
            outcome["output"] = self.items[-1]["content"][0]["text"]
            if self.lie == "wrong-answer":
                outcome["output"] = "I made this up."
        else:
            outcome["interruptions"] = self._interruptions()
        return outcome

    def _interruptions(self) -> list[Json]:
        return [
            {
                "call_id": call["call_id"],
                "tool": call["name"],
                "agent": "assistant",
                "arguments": call["arguments"],
                "kind": "function_call",
            }
            for call in self._pending()
            if call["call_id"] not in self.decisions
        ]

    def _document(self) -> Json:
        kinds = {"message": "message_output_item", "function_call": "tool_call_item"}
        decisions = []
        for call_id, each in sorted(self.decisions.items()):
            call = next(one for one in self.items if one.get("call_id") == call_id)
            key = {"kind": "bare", "name": call["name"]}
            decision = {
                "tool": {"kind": "function", "agent": "assistant", "key": key},
                "scope": "call",
                "call_id": call_id,
                "decision": each["decision"],
            }
            decisions.append(decision)
        pending = self._pending()
        return {
            "format": "timestep.run_state",
            "version": 1 if self.lie == "bad-document" else "1",
            "writer": {
                "port": "tiny",
                "port_version": "1",
                "sdk": "none",
                "sdk_version": "1",
                "sdk_schema": "1",
                "language": self.language,
            },
            "status": "interrupted" if pending else "completed",
            "current_turn": self.turn,
            "max_turns": 10,
            "current_agent": "assistant",
            "input": self.input,
            "items": [
                {
                    "type": kinds.get(each["type"], "tool_call_output_item"),
                    "item": each,
                    "agent": "assistant",
                }
                for each in self.items
            ],
            "response": None,
            "interruptions": [{"item": each, "agent": "assistant"} for each in pending],
            "decisions": decisions,
            "responses": [],
            "usage": _USAGE,
            "context": None,
            "context_type": "none",
            "tool_use": {},
            "guardrails": {"input": [], "output": [], "tool_input": [], "tool_output": []},
            "session": {"persisted_items": 0},
        }


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def serve(port: Port, lie: str) -> None:
    """Answer requests until bye, with the lie where it belongs."""
    operations: dict[str, Callable[[Json], Json]] = {
        "hello": port.hello,
        "case.open": port.case_open,
        "run.start": port.run_start,
        "run.advance": port.run_advance,
        "run.decide": port.run_decide,
        "state.save": port.state_save,
        "state.load": port.state_load,
        "state.convert": port.state_convert,
        "store.save": port.store_save,
        "store.load": port.store_load,
        "session.read": port.session_read,
        "effects.read": port.effects_read,
        **dict.fromkeys(("case.close", "cancel", "ping", "bye"), port.nothing),
    }
    for line in sys.stdin:
        request = json.loads(line)
        op, reply = request["op"], {"id": request["id"]}
        try:
            if op not in operations or (lie == "lacks-declared" and op == "run.decide"):
                raise Refusal("unsupported", op, "no such thing")
            reply["ok"] = operations[op](request["args"])
        except Refusal as error:
            reply["err"] = {"kind": error.kind, "code": error.code, "message": str(error)}
        if op == "run.start":
            tell(lie, reply)
        else:
            write(json.dumps(reply) + "\n")
        if op == "bye":
            return


def tell(lie: str, reply: Json) -> None:
    """The reply to run.start, after or with a lie of the protocol."""
    text = json.dumps(reply)
    match lie:
        case "crash":
            print("about to fall over", file=sys.stderr, flush=True)
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "hang-politely":
            line = json.loads(sys.stdin.readline())
            write(json.dumps({"id": line["id"], "ok": {}}) + "\n" + text + "\n")
            return
        case "wrong-id":
            text = json.dumps({**reply, "id": 4711})
        case "noise":
            text = f"debugging...\n{text}"
        case "broken-line":
            text = f"{text[:20]}\n{text[20:]}"
        case "split-writes":
            for char in text[:40]:
                write(char)
            text = text[40:]
        case "schema":
            text = json.dumps({"id": reply["id"], "ok": {"status": "fine"}})
        case "both":
            text = json.dumps({**reply, "err": {"kind": "driver", "code": "x", "message": "y"}})
        case "oversize":
            text = json.dumps({**reply, "ok": {**reply["ok"], "output": "x" * 17 * 1024 * 1024}})
        case "adapter-bug":
            error = {"kind": "driver", "code": "bug", "message": "my own fault"}
            text = json.dumps({"id": reply["id"], "err": error})
    write(f"{text}\n")


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--language", default="python")
    parser.add_argument("--lie", default="")
    options = parser.parse_args()
    if options.lie == "dead-on-arrival":
        sys.exit(7)
    serve(Port(options.language, options.lie), options.lie)
