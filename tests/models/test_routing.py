"""Which provider answers for a name."""

from __future__ import annotations

from typing import Any

import pytest
from agents import (
    Model,
    ModelProvider,
    OpenAIProvider,
    OpenAIResponsesModel,
    set_default_openai_client,
    set_default_openai_key,
)
from openai import AsyncOpenAI

from timestep import (
    ModelError,
    MultiModelProvider,
    MultiModelProviderMap,
    OllamaModel,
    OllamaModelProvider,
)

pytestmark = pytest.mark.anyio


class Own(ModelProvider):
    """A provider that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.closed = 0

    def get_model(self, model_name: str | None) -> Model:
        self.asked.append(model_name)
        return OllamaModelProvider().get_model("llama3")

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)


def own_map(**providers: ModelProvider) -> MultiModelProviderMap:
    mapping = MultiModelProviderMap()
    for prefix, provider in providers.items():
        mapping.add_provider(prefix, provider)
    return mapping


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        (None, OpenAIProvider, None),
        ("gpt-4.1", OpenAIProvider, "gpt-4.1"),
        ("openai/gpt-4.1", OpenAIProvider, "gpt-4.1"),
        ("openai/a/b", OpenAIProvider, "a/b"),
        ("ft:gpt-4o:org::id", OpenAIProvider, "ft:gpt-4o:org::id"),
        ("ollama/llama3", OllamaModelProvider, "llama3"),
        ("ollama/org/m:1", OllamaModelProvider, "org/m:1"),
    ],
)
def test_the_prefix_decides(name: str | None, provider: type, model: str | None) -> None:
    found, asked = MultiModelProvider().route(name)
    assert (isinstance(found, provider), asked) == (True, model)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "missing-model"),
        ("openai/", "missing-model"),
        ("ollama/", "missing-model"),
        ("/x", "unknown-prefix"),
        ("/", "unknown-prefix"),
        ("meta-llama/x", "unknown-prefix"),
        ("Ollama/x", "unknown-prefix"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, code: str) -> None:
    with pytest.raises(ModelError) as raised:
        MultiModelProvider().get_model(name)
    assert raised.value.code == code


def test_an_unknown_prefix_is_told_with_the_known_ones() -> None:
    with pytest.raises(ModelError) as raised:
        MultiModelProvider(own_map(mine=Own())).get_model("meta-llama/x")
    assert "'meta-llama'" in raised.value.message
    assert "mine, ollama, openai" in raised.value.message
    assert "add_provider('meta-llama', provider)" in raised.value.message


def test_an_own_prefix_comes_first() -> None:
    mine, openai, ollama = Own(), Own(), Own()
    provider = MultiModelProvider(own_map(mine=mine, openai=openai, ollama=ollama))
    for name in ("mine/a/b", "openai/x", "plain", None, "ollama/y"):
        provider.get_model(name)
    assert mine.asked == ["a/b"]
    assert openai.asked == ["x", "plain", None]
    assert ollama.asked == ["y"]


def test_built_in_providers_are_made_once_and_when_needed() -> None:
    provider = MultiModelProvider(openai_api_key="")
    assert isinstance(provider.get_model("ollama/llama3"), OllamaModel)
    assert provider.route("ollama/a")[0] is provider.route("ollama/b")[0]


def test_the_options_are_those_of_the_openai_provider() -> None:
    client = AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9")
    model: Any = MultiModelProvider(openai_client=client).get_model("gpt-x")
    assert isinstance(model, OpenAIResponsesModel)
    chat = MultiModelProvider(openai_client=client, openai_use_responses=False).get_model("gpt-x")
    assert type(chat).__name__ == "OpenAIChatCompletionsModel"


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("variable", [None, ""])
def test_no_key_is_told_when_a_model_is_asked_for(
    key: str | None, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("OPENAI_API_KEY")
    else:
        monkeypatch.setenv("OPENAI_API_KEY", variable)
    provider = MultiModelProvider(openai_api_key=key)
    for name in (None, "gpt-x", "openai/gpt-x"):
        with pytest.raises(ModelError, match="OPENAI_API_KEY") as raised:
            provider.get_model(name)
        assert raised.value.code == "missing-key"


def test_an_empty_key_is_not_replaced_by_the_environment() -> None:
    with pytest.raises(ModelError) as raised:
        MultiModelProvider(openai_api_key="").get_model("gpt-x")
    assert raised.value.code == "missing-key"


def test_a_client_or_key_of_the_application_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    try:
        set_default_openai_key("sk-app", use_for_tracing=False)
        assert MultiModelProvider().get_model("gpt-x") is not None
    finally:
        set_default_openai_key(None, use_for_tracing=False)  # type: ignore[arg-type]
    try:
        set_default_openai_client(AsyncOpenAI(api_key="k"), use_for_tracing=False)
        assert MultiModelProvider().get_model("gpt-x") is not None
    finally:
        set_default_openai_client(None, use_for_tracing=False)  # type: ignore[arg-type]


async def test_every_provider_is_closed_once() -> None:
    mine = Own()
    provider = MultiModelProvider(own_map(a=mine, b=mine))
    provider.get_model("ollama/llama3")
    await provider.aclose()
    assert mine.closed == 1


async def test_a_provider_that_cannot_close_keeps_none_of_the_others_open() -> None:
    class Broken(Own):
        async def aclose(self) -> None:
            raise OSError("stuck")

    class Plain:
        closed = False

        def get_model(self, model_name: str | None) -> Model:
            raise NotImplementedError

        def close(self) -> None:
            self.closed = True

    last, plain = Own(), Plain()
    mapping = own_map(a=Broken(), c=last)
    mapping.add_provider("b", plain)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="stuck"):
        await MultiModelProvider(mapping).aclose()
    assert (last.closed, plain.closed) == (1, True)
    mapping.add_provider("d", Broken())
    with pytest.raises(ExceptionGroup):
        await MultiModelProvider(mapping).aclose()


def test_a_map_holds_copies() -> None:
    mapping, mine = MultiModelProviderMap(), Own()
    given: dict[str, ModelProvider] = {"a": mine}
    mapping.set_mapping(given)
    given["b"] = mine
    mapping.get_mapping()["c"] = mine
    assert mapping.get_mapping() == {"a": mine}
    assert mapping.has_prefix("a")
    assert not mapping.has_prefix("b")
    assert mapping.get_provider("a") is mine
    assert mapping.get_provider("b") is None
    mapping.remove_provider("a")
    assert not mapping.has_prefix("a")
    with pytest.raises(KeyError):
        mapping.remove_provider("a")
