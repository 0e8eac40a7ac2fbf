"""A model of the chat API that answers well, badly or not at all: the rules are always there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from common.enhance import model, rules
from common.enhance.allowance import Allowance
from common.enhance.asked import Ask, Enhanced
from common.enhance.enhancer import Enhancer
from common.enhance.writer import Writer
from common.errors import InputError
from tests.common.enhance.chat_server import GOOD, serving
from tests.fleet import free_port

FOX = Ask("a fox in the snow", "t2v", "wan")
BY_RULES = rules.expand(FOX).text


@pytest.fixture(scope="module")
def chat() -> Iterator[Any]:
    with serving() as server:
        yield server


@pytest.fixture
def writer(chat: Any) -> Writer:
    chat.does = None
    chat.asked.clear()
    chat.headers_seen.clear()
    chat.left.clear()
    return Writer("tiny", chat.url)


def enhanced(writer: Writer | None, ask: Ask = FOX, **limits: Any) -> Enhanced:
    return asyncio.run(Enhancer(writer, Allowance(**limits)).enhance(ask))


def test_a_model_writes_the_prompt_and_is_named(chat: Any, writer: Writer) -> None:
    assert enhanced(writer) == Enhanced(GOOD, "tiny on this machine")
    asked = chat.asked[0]
    assert asked["model"] == "tiny" and asked["max_tokens"] == model.MAX_TOKENS
    assert [m["role"] for m in asked["messages"]] == ["system", "user"]
    assert asked["messages"][1]["content"] == FOX.prompt


def test_no_token_of_this_machine_goes_to_a_server(
    chat: Any, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    assert enhanced(writer).text == GOOD
    assert "hf_s" not in str(chat.headers_seen)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (429, "too often"), (500, "(500)"), (503, "(503)"), (401, "token"), (404, "does not know"),
        ("html", "was empty"), ("garbage", "cannot be read"), ("shape", "cannot be read"), ("huge", "too long"),
        ("- a\n- list", "not one paragraph"), ("I'm sorry, I cannot", "no prompt"), ("a\0fox", "characters"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_the_rules_answer(chat: Any, writer: Writer, does: Any, why: str) -> None:
    chat.does = does
    answer = enhanced(writer)
    assert (answer.text, answer.by) == (BY_RULES, rules.BY)
    assert why in answer.note and answer.note.startswith("Tiny on this machine") and "http" not in answer.note


@pytest.mark.parametrize("does", ["silent", "drip"])
def test_a_slow_one_is_left(chat: Any, writer: Writer, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.write, "__defaults__", (0.5,))
    monkeypatch.setattr(model, "MAX_ANSWER", 10**9)
    chat.does = does
    answer = enhanced(writer)
    assert answer.text == BY_RULES and "within 0.5 s" in answer.note
    if does == "drip":
        assert chat.left.wait(20), "nobody hung up"


def test_one_that_is_not_there() -> None:
    answer = enhanced(Writer("tiny", f"http://127.0.0.1:{free_port()}/v1"))
    assert answer.text == BY_RULES and "cannot be reached" in answer.note


def test_the_hubs_router_is_asked_with_the_token_of_the_app(
    chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.inference import _providers

    monkeypatch.setattr(_providers.CONVERSATIONAL_AUTO_ROUTER, "base_url", chat.url.removesuffix("/v1"))
    chat.does = None
    chat.headers_seen.clear()
    assert enhanced(Writer("owner/model", token="hf_abc")).text == GOOD
    assert chat.headers_seen[0]["authorization"] == "Bearer hf_abc"


def test_wan_nano_and_a_prompt_without_end_are_no_models_business(chat: Any, writer: Writer) -> None:
    assert enhanced(writer, Ask("a circle", "t2v")).by == rules.BY
    assert enhanced(writer, Ask("fox " * 1000, "t2v", "wan")).by == rules.BY
    assert chat.asked == []


def test_who_hammers_gets_rules(chat: Any, writer: Writer) -> None:
    async def hammer() -> list[Enhanced]:
        one = Enhancer(writer, Allowance(2, 100))
        return await asyncio.gather(*(one.enhance(FOX, page="p") for _ in range(5)))

    answers = asyncio.run(hammer())
    assert [a.text for a in answers].count(GOOD) == len(chat.asked) == 1
    assert all("busy" in a.note for a in answers if a.text != GOOD)


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_told(prompt: str) -> None:
    with pytest.raises(InputError, match="must not be empty; write a few words"):
        enhanced(None, Ask(prompt, "t2v", "wan"))
