"""What a panel's Enhance shows, and what it makes of what a program sends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from common.enhance.allowance import Allowance
from common.enhance.enhancer import Enhancer
from common.enhance.writer import Writer
from common.modes.all import MODES
from common.panels import enhancing
from common.panels.all import PANELS
from common.run.fake import FakeRunner
from tests.common.enhance.chat_server import GOOD, serving
from tests.common.fakes import manifest


def drawn(mode: str = "t2v", weights: str = "wan", writer: Writer | None = None) -> Any:
    m = MODES[mode]  # type: ignore[index]
    found = manifest(m, weights=weights)
    before, enhancing.enhancer = enhancing.enhancer, lambda: Enhancer(writer, Allowance(3, 100))  # type: ignore
    try:
        panel = PANELS[m.key](FakeRunner(m, found, []), found)
        with gr.Blocks() as panel.page:
            panel.draw()
    finally:
        enhancing.enhancer = before
    return panel


def propose(panel: Any, prompt: Any, asked: Any = "", count: Any = 0, *about: Any) -> dict[str, Any]:
    request = SimpleNamespace(session_hash="page")
    names = ("html", "choice", "accept", "text", "asked", "count", "go")
    sent = asyncio.run(panel.enhancing._propose(request, prompt, asked, count, *about))
    return dict(zip(names, sent, strict=True))


@pytest.fixture(scope="module")
def chat() -> Iterator[Any]:
    with serving() as server:
        yield server


@pytest.mark.parametrize("mode", list(PANELS))
def test_each_panel_proposes_a_completed_prompt(mode: str) -> None:
    panel = drawn(mode)
    family = ("Control",) if mode == "vace" else ()
    found = propose(panel, "a fox", "", 0, panel.initial.default_checkpoint, 17, *family)
    assert found["text"].startswith("a fox") and len(found["text"]) > len("a fox")
    assert "<ins>" in found["html"] and "By rules" in found["html"]
    assert found["accept"]["visible"] and found["choice"]["visible"]
    assert (found["asked"], found["count"]) == ("a fox", 0)


def test_the_same_prompt_again_has_another_proposal() -> None:
    panel = drawn()
    first = propose(panel, "a fox")
    second = propose(panel, "a fox", first["asked"], first["count"])
    assert second["text"] != first["text"] and second["count"] == 1
    assert propose(panel, "a cat", second["asked"], second["count"])["count"] == 0


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("", "Prompt must not be empty; write a few words"), (" \n", "must not be empty"), (None, "must not be empty"),
     ("a\0fox", "Prompt is not valid"), ("fox " * 101, "long enough"), ("x" * 30_000, "Prompt is not valid")],
)  # fmt: skip
def test_what_cannot_be_completed_is_told_without_accept(prompt: Any, said: str) -> None:
    found = propose(drawn(), prompt)
    assert said in found["html"] and not found["accept"]["visible"] and found["text"] == ""
    assert found["choice"]["visible"] and found["go"]["interactive"]


@pytest.mark.parametrize("count", [None, "x", float("nan"), float("inf"), -3, 10**30, True, []])
@pytest.mark.parametrize("about", [(None, None, None), (["a"], {}, ["gray"]), ("no-such-model", "1", 7)])
def test_whatever_a_program_sends_is_answered(count: Any, about: Any) -> None:
    found = propose(drawn("vace"), "a fox", "a fox", count, *about)
    assert found["text"].startswith("a fox") and 0 <= found["count"] <= enhancing.VARIANTS


def test_no_markup_of_a_prompt_is_ours() -> None:
    html = propose(drawn(), "<img src=x onerror=alert(1)>")["html"]
    assert "<img" not in html and "&lt;img" in html.replace("<ins>", "").replace("</ins>", "")


def test_nano_is_asked_for_by_the_weights_of_the_model() -> None:
    text = propose(drawn(weights="nano"), "a circle")["text"]
    assert text.endswith("background")


def test_who_writes_is_said_before_and_after(chat: Any) -> None:
    chat.does = None
    panel = drawn(writer=Writer("tiny", chat.url))
    found = propose(panel, "a fox")
    assert found["text"] == GOOD and "By tiny on this machine" in found["html"]
    chat.does = 429
    found = propose(panel, "a fox")
    assert "asked too often" in found["html"] and "By rules" in found["html"] and found["accept"]["visible"]
    assert _sent(panel) == []
    away = drawn(writer=Writer("owner/model", token="hf_x"))
    assert "owner/model over Hugging Face" in _sent(away)[0]


def test_a_hammering_visitor_gets_rules(chat: Any) -> None:
    chat.does = None
    panel = drawn(writer=Writer("tiny", chat.url))
    chat.asked.clear()
    told = [propose(panel, "a fox", "a fox", n) for n in range(5)]
    assert len(chat.asked) == 3
    assert ["By rules" in one["html"] for one in told] == [False] * 3 + [True] * 2
    assert "at most 3 times a minute" in told[-1]["html"]


def _sent(panel: Any) -> list[str]:
    blocks = [block.value for block in panel.page.blocks.values() if isinstance(block, gr.HTML)]
    return [text for text in blocks if "sends the prompt" in str(text)]
