"""Where a model is asked, under which name and with which key."""

from __future__ import annotations

import asyncio
import base64

import pytest
from ollama import AsyncClient

from tests.models.ask import Asker, asker
from tests.models.server import ollama_server, whole
from timestep import ModelError, OllamaModel, OllamaModelProvider
from timestep.models.ollama.client import close_client, host_of
from timestep.models.ollama.provider import CLOUD, LOCAL, Target, resolve

pytestmark = pytest.mark.anyio

OWN = "http://10.0.0.1:11434"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)


@pytest.mark.parametrize(
    ("model", "options", "target"),
    [
        ("llama3", {}, Target(LOCAL, "llama3", None, False)),
        ("llama3", {"api_key": "k"}, Target(LOCAL, "llama3", None, False)),
        ("llama3", {"base_url": OWN}, Target(OWN, "llama3", None, False)),
        ("llama3", {"base_url": OWN, "api_key": "k"}, Target(OWN, "llama3", "k", False)),
        ("gpt-oss:120b-cloud", {}, Target(LOCAL, "gpt-oss:120b-cloud", None, True)),
        ("gpt-oss:120b-cloud", {"api_key": "k"}, Target(CLOUD, "gpt-oss:120b", "k", True)),
        ("glm-5:cloud", {"api_key": "k"}, Target(CLOUD, "glm-5", "k", True)),
        ("my-cloud-model", {"api_key": "k"}, Target(LOCAL, "my-cloud-model", None, False)),
        ("my-cloud", {"api_key": "k"}, Target(LOCAL, "my-cloud", None, False)),
        ("host:1/my-cloud", {"api_key": "k"}, Target(LOCAL, "host:1/my-cloud", None, False)),
        (
            "glm-5:cloud",
            {"api_key": "k", "base_url": OWN},
            Target(OWN, "glm-5:cloud", "k", True),
        ),
        ("glm-5", {"api_key": "k", "base_url": CLOUD}, Target(CLOUD, "glm-5", "k", True)),
        ("glm-5:cloud", {"base_url": CLOUD}, Target(CLOUD, "glm-5", None, True)),
    ],
)
def test_the_name_and_the_options_decide(
    model: str, options: dict[str, str], target: Target
) -> None:
    assert resolve(model, **options) == target


@pytest.mark.parametrize(
    ("model", "options", "target"),
    [
        ("llama3", {}, Target(OWN, "llama3", None, False)),
        ("llama3", {"api_key": "k"}, Target(OWN, "llama3", None, False)),
        ("llama3", {"base_url": LOCAL}, Target(LOCAL, "llama3", None, False)),
        ("glm-5:cloud", {}, Target(CLOUD, "glm-5", "env", True)),
        ("glm-5:cloud", {"api_key": "k"}, Target(CLOUD, "glm-5", "k", True)),
        ("glm-5", {"base_url": f"{CLOUD}/"}, Target(f"{CLOUD}/", "glm-5", "env", True)),
        (
            "glm-5",
            {"base_url": "http://ollama.com"},
            Target("http://ollama.com", "glm-5", None, False),
        ),
        (
            "glm-5",
            {"base_url": "https://ollama.com.evil.example"},
            Target("https://ollama.com.evil.example", "glm-5", None, False),
        ),
        (
            "glm-5",
            {"base_url": "https://ollama.com:8443"},
            Target("https://ollama.com:8443", "glm-5", None, False),
        ),
    ],
)
def test_the_environment_gives_a_host_and_a_key_for_the_cloud(
    model: str, options: dict[str, str], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", OWN)
    monkeypatch.setenv("OLLAMA_API_KEY", "env")
    assert resolve(model, **options) == target


def test_the_cloud_may_be_the_host_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", CLOUD)
    monkeypatch.setenv("OLLAMA_API_KEY", "env")
    assert resolve("glm-5") == Target(CLOUD, "glm-5", "env", True)


async def test_a_key_of_the_environment_is_not_sent_to_a_local_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "env")
    async with asker(whole("a")) as model:
        await model.ask()
    async with ollama_server(whole("a")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        provider = OllamaModelProvider(api_key="k")
        await Asker(provider.get_model("llama3"), server).ask()
        await provider.aclose()
    for sent in (*model.server.sent, *server.sent):
        assert "authorization" not in sent.headers


async def test_a_key_is_sent_to_the_host_it_was_given_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "env")
    async with asker(whole("a"), api_key="k") as model:
        await model.ask()
    assert model.server.sent[0].headers["authorization"] == "Bearer k"


async def test_a_name_and_password_of_the_host_are_sent() -> None:
    async with ollama_server(whole("a")) as server:
        provider = OllamaModelProvider(base_url=server.url.replace("//", "//ada:p%40ss@"))
        await Asker(provider.get_model("llama3"), server).ask()
        await provider.aclose()
    basic = base64.b64encode(b"ada:p@ss").decode()
    assert server.sent[0].headers["authorization"] == f"Basic {basic}"


async def test_hosts_are_found_anew_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ollama_server(whole("1"), whole("2")) as first, ollama_server(whole("3")) as other:
        provider = OllamaModelProvider()
        monkeypatch.setenv("OLLAMA_HOST", first.url)
        local = provider.get_model("llama3")
        monkeypatch.setenv("OLLAMA_API_KEY", "env")
        cloud = provider.get_model("gpt-oss:120b-cloud")
        again = provider.get_model("llama3")
        monkeypatch.setenv("OLLAMA_HOST", other.url)
        moved = provider.get_model("llama3")

        assert isinstance(cloud, OllamaModel)
        assert cloud.model == "gpt-oss:120b"
        await Asker(local, first).ask()
        await Asker(again, first).ask()
        await Asker(moved, other).ask()
        await provider.aclose()
    assert [body["model"] for body in first.bodies] == ["llama3", "llama3"]
    assert first.connections == 1


async def test_a_client_of_the_application_is_used_and_left_open() -> None:
    async with ollama_server(whole("a"), whole("b")) as server:
        client = AsyncClient(host=server.url, headers={"X-Own": "1"})
        provider = OllamaModelProvider(ollama_client=client)
        await Asker(provider.get_model("llama3"), server).ask()
        await provider.aclose()
        await Asker(OllamaModel("llama3", client), server).ask()
        await close_client(client)
    assert [sent.headers["x-own"] for sent in server.sent] == ["1", "1"]


async def test_a_client_of_the_application_may_be_one_of_the_cloud() -> None:
    client = AsyncClient(host=CLOUD)
    model = OllamaModelProvider(ollama_client=client).get_model("glm-5:cloud")
    assert isinstance(model, OllamaModel)
    assert model.model == "glm-5"
    assert host_of(client).rstrip("/") == CLOUD
    await close_client(client)


async def test_something_else_than_a_client_is_refused() -> None:
    model = OllamaModel("llama3", object())  # type: ignore[arg-type]
    async with ollama_server() as server:
        with pytest.raises(TypeError, match="AsyncClient"):
            await Asker(model, server).ask()


@pytest.mark.parametrize("name", [None, ""])
def test_a_model_has_a_name(name: str | None) -> None:
    with pytest.raises(ModelError) as raised:
        OllamaModelProvider().get_model(name)
    assert raised.value.code == "missing-model"


async def test_every_event_loop_has_its_own_connections() -> None:
    async with ollama_server(whole("1"), whole("2"), whole("3")) as server:
        provider = OllamaModelProvider(base_url=server.url)
        model = Asker(provider.get_model("llama3"), server)

        async def elsewhere() -> None:
            await model.ask()
            await provider.aclose()

        await model.ask()
        await asyncio.to_thread(asyncio.run, elsewhere())
        await model.ask()
        await provider.aclose()
    assert server.connections == 2
