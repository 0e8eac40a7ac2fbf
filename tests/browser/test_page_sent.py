"""Send to between Spaces that share no disk: a result goes on by its address alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.hands import send
from tests.fleet import end, free_port, start

PROMPT = "a red circle moving right on a black background"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Studio whose modes are another process with another cache."""
    modes, studio = free_port(), free_port()
    table = json.dumps({mode: [f"http://127.0.0.1:{modes}/{mode}/"] for mode in ("t2v", "i2v", "v2v")})
    processes = []
    for port, args, more in (
        (modes, ["--modes", "t2v", "i2v", "v2v", "--pause", "0"], {}),
        (studio, ["--router"], {"WAN_FEDERATION": table}),
    ):
        folder = str(tmp_path_factory.mktemp("apart"))
        processes.append(start(port, *args, env={"GRADIO_TEMP_DIR": folder, **more}))
    yield f"http://127.0.0.1:{studio}/"
    for process in processes:
        end(process)


def test_a_result_is_sent_on_measured_and_used(visit: Any, apart: str) -> None:
    page = visit(apart)
    made = page.locator(".page-t2v")
    made.locator(".prompt textarea").fill(PROMPT)
    made.get_by_role("button", name="Generate", exact=True).click()
    expect(made.locator(".progress.done")).to_be_visible()
    for mode, meaning in (("i2v", "frame under the playhead"), ("v2v", "Restyle")):
        page.evaluate("window.wanStudio.go('t2v')")
        send(page, "t2v", mode, meaning)
        panel = page.locator(f".page-{mode}")
        panel.locator(".prompt textarea").fill(PROMPT)
        expect(panel.locator(".dock .label-card .todo")).to_have_count(0)
        expect(panel.locator(".toast-wrap, .error")).to_have_count(0)
        panel.get_by_role("button", name="Generate", exact=True).click()
        expect(panel.locator(".progress.done")).to_be_visible()
        expect(panel.locator(".progress.done")).not_to_contain_text("The job was not taken")
