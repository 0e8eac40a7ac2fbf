"""What verify makes of an app's answers: the right one, another version, another mode, a page of HTML."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gradio.utils import get_upload_folder
from huggingface_hub import HfApi

from common.contract import Backend, CheckpointInfo, Manifest, ModeKey
from common.errors import GpuError
from common.modes.all import MODES
from deploy import verify
from deploy.errors import DeployError
from deploy.hub import Hub
from tests.common.fakes import FakeService, space_of
from tests.deploy.conftest import Desk

MANIFEST = Manifest(
    git_sha="x",
    mode="t2v",
    checkpoints=[CheckpointInfo(key="k", name="K", generation="2.1", presets=["fast"], moe=False, fps=16)],
    default_checkpoint="k",
    weights="nano",
    backend=Backend(),
    presets=["fast"],
    fields={},
    loaded=[],
    cache_bytes=0,
    versions={},
).model_dump(mode="json")
PLAN = {"num_frames": 17, "checkpoint": "k"}


class App:
    """An app that answers what it is told to: path end to (status, body); only who shows `token`, where it is set."""

    def __init__(self) -> None:
        self.token, self.shown = "", list[str]()
        self.answers: dict[str, tuple[int, Any]] = {}
        self.url = ""


@pytest.fixture
def app() -> Iterator[App]:
    app = App()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            app.shown.append(self.headers.get("Authorization") or "")
            status, body = app.answers.get(self.path.rsplit("/", 1)[1], (404, {}))
            if app.token and app.shown[-1] != f"Bearer {app.token}":
                status, body = 404, {}  # as the Hub hides a private Space
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if not isinstance(body, str) else "text/html")
            self.end_headers()
            self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

        do_GET = do_POST

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    app.url = f"http://127.0.0.1:{server.server_port}"
    yield app
    server.shutdown()
    server.server_close()


def ask(desk: Desk, app: App, **answers: tuple[int, Any]) -> str:
    desk.server.hosts = {t.repo_id: app.url for t in desk.targets()}
    app.answers = {"manifest": (200, {"data": [MANIFEST]}), "plan": (200, {"data": [PLAN]}), **answers}
    target = desk.targets()[0]
    if target.repo_id not in desk.server.repos:
        desk.push([target])
    return verify.answers(desk.hub, target)


def test_deploy_verify_takes_a_plan_or_a_named_refusal(desk: Desk, app: App) -> None:
    assert ask(desk, app) == "t2v answers with contract 2, plans 17 frames on k"
    refusal = {"error": "image is required", "title": "Check the input"}
    assert ask(desk, app, plan=(500, refusal)).endswith("says what it needs: image is required")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"manifest": (200, {"data": [{**MANIFEST, "contract": 1}]})}, "speaks contract 1, we 2"),
        (
            {"manifest": (200, {"data": [{**MANIFEST, "mode": "i2v"}]})},
            "must be t2v on nano weights; it says i2v",
        ),
        ({"manifest": (200, {"data": [{**MANIFEST, "weights": "wan"}]})}, "it says t2v on wan"),
        ({"manifest": (200, {"data": [{}]})}, "not with a manifest"),
        ({"manifest": (200, "<html>")}, "with something else"),
        ({"manifest": (503, {})}, "runs but answers HTTP 503"),
        ({"plan": (500, {"error": None})}, "cannot plan (HTTP 500)"),
    ],
)
def test_deploy_verify_names_what_is_wrong(
    desk: Desk, app: App, answers: dict[str, tuple[int, Any]], words: str
) -> None:
    with pytest.raises(DeployError) as error:
        ask(desk, app, **answers)
    assert words in error.value.text


def test_deploy_verify_shows_its_token_to_a_private_space(
    desk: Desk, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that `hf auth login` has left, which the client holds nowhere; a public Space is not shown it."""
    private = [replace(t, visibility="private") for t in desk.targets()]
    desk.server.hosts = {t.repo_id: app.url for t in private}
    desk.push(private)
    app.token = "hf_write"
    app.answers = {
        "manifest": (200, {"data": [MANIFEST]}),
        "plan": (200, {"data": [PLAN]}),
        "": (200, "<html>"),
    }
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    hub = Hub(HfApi(endpoint=desk.server.url), say=desk.said.append)
    assert hub.api.token is None
    assert verify.verify(hub, private[0]).startswith("t2v answers")
    assert verify.verify(hub, private[-1]).startswith("the page answers")
    desk.server.repos[private[0].repo_id].visibility = "public"
    app.token, app.shown = "", []
    verify.verify(hub, private[0])
    assert set(app.shown) == {""}


def test_deploy_verify_of_an_app_that_is_gone(desk: Desk, app: App) -> None:
    ask(desk, app)
    desk.server.repos[desk.targets()[0].repo_id].host = "http://127.0.0.1:9"
    with pytest.raises(DeployError, match="runs but does not answer"):
        verify.answers(desk.hub, desk.targets()[0])


@pytest.mark.parametrize("mode", list(MODES))
def test_deploy_verify_makes_a_real_clip_in_every_mode(desk: Desk, mode: ModeKey) -> None:
    """Modes that want a picture or a clip are given those of their example."""
    service = FakeService(MODES[mode], Path(get_upload_folder()).resolve())
    blocks = space_of(service)
    blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        pushed = desk.targets()[0]
        desk.server.hosts = {pushed.repo_id: str(blocks.local_url)}
        desk.push([pushed])
        target = replace(pushed, mode=mode)
        assert verify.one_generation(desk.hub, target).startswith("made a clip in")
        assert service.request is not None
        media = {slot.name: handle for slot, handle in MODES[mode].media(service.request)}
        assert media.keys() >= {slot.name for slot in MODES[mode].slots if slot.required}
        service.failure = GpuError("wait 10 minutes", title="ZeroGPU quota exceeded")
        with pytest.raises(DeployError, match="could not make a clip: wait 10 minutes"):
            verify.one_generation(desk.hub, target)
    finally:
        blocks.close()
