"""The official ``ollama`` client as a transport: raw JSON out, raw JSON in.

`ollama.AsyncClient.chat` of 0.6 cannot be used as it is: its types drop call ids, nested tool
schemas and cached token counts, both ways; a blank line breaks its streams, and their early end
passes without a word. So the client is used for what it does right, which is hosts, headers and
HTTP, through its ``httpx`` client. That is a private name of it; it is touched in this file only
and covered by tests, which also fail on the day ``chat`` keeps the fields.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from timestep.errors import OllamaError

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient

PATH = "/api/chat"

_DRAIN_SECONDS = 1.0


def create_client(host: str, api_key: str | None) -> AsyncClient:
    """A client for `host` that sends `api_key` and no other.

    The official client adds OLLAMA_API_KEY from the environment for any host, so the header is
    taken away again where the host was given no key. It drops a name and password in the URL,
    so they are given to it as what they are.
    """
    from ollama import AsyncClient

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    parts = urlsplit(host)
    named = parts.username is not None and not api_key
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if named else None
    client = AsyncClient(host=host, headers=headers, auth=auth)
    if not api_key:
        _http(client).headers.pop("authorization", None)
    return client


def host_of(client: AsyncClient) -> str:
    """The URL of the server the client talks to."""
    return str(_http(client).base_url)


async def close_client(client: AsyncClient) -> None:
    """Closes the client's connections."""
    await _http(client).aclose()


async def chat(
    client: AsyncClient,
    payload: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The answer to `payload` as the server sent it.

    Raises `OllamaError`, and lets cancellation close the connection.
    """
    import httpx

    http = _http(client)
    try:
        response = await http.post(PATH, json=payload, headers=headers, params=_params(query))
    except httpx.HTTPError as error:
        raise _connection_error(error, http) from error
    if response.is_error:
        raise _refusal(response)
    return _parse(response.content)


async def stream(
    client: AsyncClient,
    payload: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, object] | None = None,
) -> AsyncGenerator[dict[str, Any], None]:
    """The chunks of the answer to `payload`, up to the one that says it is done.

    Raises `OllamaError`, also for an error line and for a stream that ends before it is done.
    The connection is closed when the generator is, however it ends.
    """
    import httpx

    http = _http(client)
    try:
        async with http.stream(
            "POST", PATH, json=payload, headers=headers, params=_params(query)
        ) as response:
            if response.is_error:
                await response.aread()
                raise _refusal(response)
            lines = _lines(response.aiter_bytes())
            async for line in lines:
                chunk = _parse(line)
                yield chunk
                if chunk.get("done"):
                    await _drain(lines)
                    return
    except httpx.HTTPError as error:
        raise _connection_error(error, http) from error
    raise OllamaError(
        "The stream ended early, before the server said it was done.",
        code="ollama-stream-ended",
        retryable=True,
    )


async def _drain(lines: AsyncIterator[bytes]) -> None:
    """Reads to the end of the body, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in lines:
                pass


async def _lines(received: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    r"""The lines that are not blank. Only ``\n`` ends one: U+2028 may stand in a JSON string."""
    rest = b""
    async for data in received:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _parse(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OllamaError(
            "The server's answer is not the JSON of Ollama.",
            code="ollama-stream-failed",
            body=text.decode(errors="replace"),
        )
    if answer.get("error"):
        message = _message(answer, "The server reported an error.")
        raise OllamaError(
            message,
            code="ollama-stream-failed",
            retryable=_is_bad_call(message),
            body=answer,
        )
    return answer


def _refusal(response: httpx.Response) -> OllamaError:
    text = response.text
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    message = _message(body, text) or f"HTTP status {response.status_code}"
    status = response.status_code
    return OllamaError(
        message,
        code="ollama-refused",
        status=status,
        retryable=status in (429, 502, 503) or (status == 500 and _is_bad_call(message)),
        body=body,
    )


def _message(body: object, text: str) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) and error else text.strip()


def _is_bad_call(message: str) -> bool:
    """The model wrote a call the server could not parse: another try may go well."""
    return "error parsing tool call" in message


def _connection_error(error: httpx.HTTPError, http: httpx.AsyncClient) -> OllamaError:
    import httpx

    address = str(http.base_url).rstrip("/")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        message = f"No connection. Is Ollama running at {address}?"
        return OllamaError(message, code="ollama-unreachable", retryable=True)
    if isinstance(error, httpx.TimeoutException):
        message = f"Ollama at {address} did not answer in time."
        return OllamaError(message, code="ollama-unreachable", retryable=True)
    message = f"The connection to Ollama at {address} broke before the answer was complete."
    return OllamaError(message, code="ollama-stream-ended", retryable=True)


def _params(query: Mapping[str, object] | None) -> Any:
    return dict(query) if query else None


def _http(client: AsyncClient) -> httpx.AsyncClient:
    """The HTTP client inside the official one, private there."""
    http: httpx.AsyncClient | None = getattr(client, "_client", None)
    if http is None or not hasattr(http, "stream"):
        raise TypeError("ollama_client is not an ollama.AsyncClient of a release this port knows.")
    return http
