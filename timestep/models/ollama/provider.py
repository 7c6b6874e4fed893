"""Which server answers for a model name, under which name, and with which key."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents import Model, ModelProvider

from timestep.errors import ModelError
from timestep.models.ollama.client import close_client, create_client, host_of
from timestep.models.ollama.model import OllamaModel
from timestep.models.ollama.request import StructuredOutput
from timestep.models.ollama.response import new_id

if TYPE_CHECKING:
    from ollama import AsyncClient

CLOUD = "https://ollama.com"
LOCAL = "http://127.0.0.1:11434"


@dataclass(frozen=True)
class Target:
    """A server, the model's name there, and the key to send, if any.

    ``cloud`` says that the model runs at ollama.com, also where a local server passes it on.
    """

    host: str
    model: str
    api_key: str | None
    cloud: bool


def resolve(model: str, *, api_key: str | None = None, base_url: str | None = None) -> Target:
    """Where `model` is asked.

    A `base_url` wins. Without one, a cloud model (a tag ``cloud`` or one that ends in
    ``-cloud``) is asked at ollama.com, where its name lacks the suffix, if there is a key; every
    other is asked at OLLAMA_HOST or the local server.

    The key is `api_key` or OLLAMA_API_KEY. It is sent to https://ollama.com, and `api_key` also
    to the `base_url` it was given with; no other host sees it.
    """
    key = api_key or os.environ.get("OLLAMA_API_KEY") or None
    base, is_cloud = _cut(model)
    if base_url:
        host = base_url
    elif is_cloud and key:
        host = CLOUD
    else:
        host = os.environ.get("OLLAMA_HOST") or LOCAL
    if _is_cloud_host(host):
        return Target(host, base, key, cloud=True)
    return Target(host, model, (api_key or None) if base_url else None, cloud=is_cloud)


class OllamaModelProvider(ModelProvider):
    """Models of Ollama by name, as ``llama3`` or ``gpt-oss:120b-cloud``.

    Host, name and key are found anew for each model, see `resolve`; models of one host and key
    share a client. An `ollama_client` is used for every model as it is, and stays the caller's to
    close. `structured_output` says how an output schema reaches the model; `new_id` makes the 24
    hexadecimal digits of call ids the server did not give.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        ollama_client: AsyncClient | None = None,
        structured_output: StructuredOutput = "auto",
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client = ollama_client
        self._structured_output = structured_output
        self._new_id = new_id
        self._models: dict[Target, OllamaModel] = {}
        # Connections belong to the event loop they were opened in.
        self._clients: dict[
            asyncio.AbstractEventLoop, dict[tuple[str, str | None], AsyncClient]
        ] = {}

    def get_model(self, model_name: str | None) -> Model:
        """The model of this name. Raises `ModelError` ``missing-model`` for none."""
        if not model_name:
            raise ModelError("Ollama has no default model; name one.", code="missing-model")
        host = host_of(self._client) if self._client is not None else self._base_url
        target = resolve(model_name, api_key=self._api_key, base_url=host)
        if target not in self._models:
            self._models[target] = OllamaModel(
                target.model,
                lambda: self._client_for(target),
                cloud=target.cloud,
                structured_output=self._structured_output,
                new_id=self._new_id,
            )
        return self._models[target]

    async def aclose(self) -> None:
        """Closes the connections of every client made here, in the running event loop."""
        clients = self._clients.pop(asyncio.get_running_loop(), {})
        for client in clients.values():
            await close_client(client)

    def _client_for(self, target: Target) -> AsyncClient:
        if self._client is not None:
            return self._client
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for ended in [each for each in self._clients if each.is_closed()]:
                del self._clients[ended]
        clients = self._clients.setdefault(loop, {})
        key = (target.host, target.api_key)
        if key not in clients:
            clients[key] = create_client(target.host, target.api_key)
        return clients[key]


def _cut(model: str) -> tuple[str, bool]:
    """The name without its cloud suffix, and whether it had one."""
    name, colon, tag = model.rpartition(":")
    if not colon or "/" in tag:
        return model, False
    if tag == "cloud":
        return name, True
    if tag.endswith("-cloud"):
        return f"{name}:{tag.removesuffix('-cloud')}", True
    return model, False


def _is_cloud_host(host: str) -> bool:
    parts = urlsplit(host)
    return parts.scheme == "https" and parts.hostname == "ollama.com" and parts.port in (None, 443)
