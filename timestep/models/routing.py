"""Which provider answers for a model name: the part before the first slash decides."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agents import Model, ModelProvider, OpenAIProvider

from timestep.errors import ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

BUILT_IN = ("ollama", "openai")
"""The prefixes that need no entry in a map."""


class MultiModelProviderMap:
    """Prefixes of model names and the provider each leads to."""

    def __init__(self) -> None:
        self._mapping: dict[str, ModelProvider] = {}

    def add_provider(self, prefix: str, provider: ModelProvider) -> None:
        """Lets `prefix` lead to `provider`, in place of the one it led to."""
        self._mapping[prefix] = provider

    def remove_provider(self, prefix: str) -> None:
        """Takes the prefix out. Raises `KeyError` where it is not in."""
        del self._mapping[prefix]

    def get_provider(self, prefix: str) -> ModelProvider | None:
        """The provider of a prefix, None where there is none."""
        return self._mapping.get(prefix)

    def has_prefix(self, prefix: str) -> bool:
        """Whether the prefix is in the map."""
        return prefix in self._mapping

    def get_mapping(self) -> dict[str, ModelProvider]:
        """A copy of the map."""
        return dict(self._mapping)

    def set_mapping(self, mapping: Mapping[str, ModelProvider]) -> None:
        """Puts a copy of `mapping` in place of everything in the map."""
        self._mapping = dict(mapping)


class MultiModelProvider(ModelProvider):
    """Models of several providers: ``gpt-4.1``, ``openai/gpt-4.1``, ``ollama/llama3``, your own.

    A name without a slash, and no name, are OpenAI's. Of any other name the part before the
    first slash is the prefix, looked up in `provider_map` first, so that ``openai`` and ``ollama``
    can be replaced. The options are those of the SDK's `OpenAIProvider`; with none of them, a
    client or key set for the whole application holds.
    """

    def __init__(
        self,
        provider_map: MultiModelProviderMap | None = None,
        *,
        openai_api_key: str | None = None,
        openai_base_url: str | None = None,
        openai_client: AsyncOpenAI | None = None,
        openai_organization: str | None = None,
        openai_project: str | None = None,
        openai_use_responses: bool | None = None,
    ) -> None:
        self.provider_map = provider_map
        self._openai_options: dict[str, Any] = {
            "api_key": openai_api_key,
            "base_url": openai_base_url,
            "openai_client": openai_client,
            "organization": openai_organization,
            "project": openai_project,
            "use_responses": openai_use_responses,
        }
        self._created: dict[str, ModelProvider] = {}

    def get_model(self, model_name: str | None) -> Model:
        """The model of this name.

        Raises `ModelError`: ``unknown-prefix``, ``missing-model`` for an empty name, and
        ``missing-key`` where OpenAI is asked without a key.
        """
        provider, name = self.route(model_name)
        return provider.get_model(name)

    def route(self, model_name: str | None) -> tuple[ModelProvider, str | None]:
        """The provider of this name and the name it is asked for. Raises as `get_model`."""
        if model_name == "":
            raise ModelError("The name of the model is empty.", code="missing-model")
        prefix, slash, name = (model_name or "").partition("/")
        if not slash:
            return self._provider("openai"), model_name
        provider = self._provider(prefix)
        if not name:
            raise ModelError(
                f"No model is named after the prefix in {model_name!r}.", code="missing-model"
            )
        return provider, name

    async def aclose(self) -> None:
        """Closes every provider in the map and every one created here, each once.

        A failure of one keeps none of the others open; then it is raised.
        """
        added = self.provider_map.get_mapping() if self.provider_map is not None else {}
        providers = {id(each): each for each in (*added.values(), *self._created.values())}
        self._created = {}
        failures: list[Exception] = []
        for provider in providers.values():
            close = getattr(provider, "aclose", None) or getattr(provider, "close", None)
            if close is None or provider is self:
                continue
            try:
                closing = close()
                if inspect.isawaitable(closing):
                    await closing
            except Exception as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup("several model providers could not be closed", failures)

    def _provider(self, prefix: str) -> ModelProvider:
        added = self.provider_map.get_provider(prefix) if self.provider_map is not None else None
        if added is not None:
            return added
        if prefix not in BUILT_IN:
            own = self.provider_map.get_mapping() if self.provider_map is not None else {}
            known = ", ".join(sorted({*BUILT_IN, *own}))
            raise ModelError(
                f"No provider for the prefix {prefix!r}. Known prefixes: {known}. "
                f"Add one with MultiModelProviderMap.add_provider({prefix!r}, provider).",
                code="unknown-prefix",
            )
        if prefix not in self._created:
            self._created[prefix] = self._create(prefix)
        return self._created[prefix]

    def _create(self, prefix: str) -> ModelProvider:
        if prefix == "openai":
            return _OpenAI(**self._openai_options)
        from timestep.models.ollama.provider import OllamaModelProvider

        return OllamaModelProvider()


class _OpenAI(OpenAIProvider):
    """The SDK's provider, which names the variable where it has no key."""

    def get_model(self, model_name: str | None) -> Model:
        from openai import OpenAIError

        try:
            return super().get_model(model_name)
        except OpenAIError as error:
            raise ModelError(
                "OpenAI has no key: OPENAI_API_KEY is not set or empty, and no other was given.",
                code="missing-key",
            ) from error
