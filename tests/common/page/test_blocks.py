"""What every app of ours is, however it is served: paths are looked at; uploads, lines and pages have an end."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from common.budgets import BUDGETS
from common.errors import UnavailableError
from common.page.blocks import StudioBlocks


def failing(text: str) -> str:
    raise ValueError(f"{text} in /home/ada/secret.py")


@pytest.fixture
def mounted() -> Iterator[tuple[StudioBlocks, TestClient]]:
    with StudioBlocks() as blocks:
        picture = gr.Image(label="Picture", type="filepath")
        picture.change(lambda path: path, picture, picture, api_name="echo", queue=False)
        text = gr.Textbox()
        text.change(failing, text, text, api_name="fail", queue=False)
        choice, number = gr.Dropdown(["a", "b"], label="Choice"), gr.Number(label="Number")
        choice.change(lambda *given: str(given), [choice, number], text, api_name="both", queue=False)
        number.change(None, None, text, js="() => 'drawn'", queue=False)
    app = gr.mount_gradio_app(FastAPI(), blocks, path="/x")
    with TestClient(app) as client:
        yield blocks, client


def test_a_mounted_app_is_as_strict_as_a_launched_one(mounted: tuple[StudioBlocks, TestClient]) -> None:
    blocks, client = mounted
    assert blocks.has_launched and blocks._queue.max_size == BUDGETS.queue_length
    assert blocks.max_file_size == BUDGETS.upload_bytes
    file = {"path": __file__, "meta": {"_type": "gradio.FileData"}}
    reply = client.post("/x/gradio_api/run/echo", json={"data": [file]})
    assert "Picture must be an upload or a result of this Studio" in reply.json()["error"]


def test_an_upload_beyond_the_limit_is_refused_with_the_rule(
    mounted: tuple[StudioBlocks, TestClient],
) -> None:
    blocks, client = mounted
    blocks.max_file_size = 1000
    assert client.post("/x/gradio_api/upload", files={"files": ("a.png", b"x" * 900)}).status_code == 200
    refused = client.post("/x/gradio_api/upload", files={"files": ("a.png", b"x" * 1100)})
    assert refused.status_code == 413 and "maximum allowed size of 1000 bytes" in refused.text


def test_no_raw_exception_reaches_a_page(mounted: tuple[StudioBlocks, TestClient]) -> None:
    told = mounted[1].post("/x/gradio_api/run/fail", json={"data": ["boom"]}).json()["error"]
    assert told.startswith("ValueError, which nobody expected") and "/home/ada" not in told
    odd = mounted[1].post("/x/gradio_api/run/echo", json={"data": [[1, 2]]}).json()["error"]
    assert odd == "input is not what this page sends; reload the page"


def test_what_the_browser_alone_does_is_nothing_to_ask_a_server_for(
    mounted: tuple[StudioBlocks, TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    (number,) = [key for key, event in mounted[0].fns.items() if event.fn is None]
    for data in ([], [1]):
        told = mounted[1].post("/x/gradio_api/run/predict", json={"fn_index": number, "data": data}).json()
        assert told["title"] == "Check the input" and "this one is the page's own" in told["error"]
    assert not caplog.records, "a stranger fills the log with tracebacks"


def test_one_choice_is_no_list_and_a_number_no_text(mounted: tuple[StudioBlocks, TestClient]) -> None:
    def said(*data: object) -> str:
        reply = mounted[1].post("/x/gradio_api/run/both", json={"data": data}).json()
        return reply.get("error") or reply["data"][0]

    assert said([], 1) == said(["a"], 1) == "Choice takes one choice, not a list; reload the page"
    for odd in ("1e999", True, [], {}):
        assert said("a", odd) == "Number takes a number; reload the page"
    assert said("a", 1.5) == "('a', 1.5)" and said(None, None) == "(None, None)"


def test_a_pages_state_holds_no_copy_of_the_page(mounted: tuple[StudioBlocks, TestClient]) -> None:
    blocks, client = mounted
    for number in range(3):
        client.post("/x/gradio_api/run/fail", json={"data": ["a"], "session_hash": f"s{number}"})
    states = blocks.state_holder.session_data
    assert len(states) == 3
    assert not any(list(state.components) for state in states.values())


def test_an_app_that_can_keep_nothing_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/dev/null/cache")
    with pytest.raises(UnavailableError, match="set GRADIO_TEMP_DIR to a folder that can be written"):
        StudioBlocks()
