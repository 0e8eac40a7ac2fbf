"""`wan-studio replay --server`: each step goes to its mode there, with the result of the one before."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from cli.main import main
from common.contract import Backend
from common.modes.all import MODES
from tests.common import fakes

GPU = Backend(device="cuda", name="A card", memory_bytes=80_000_000_000)
STEPS = [
    {"mode": "t2v", "request": {"prompt": "a red circle"}, "decided": {"seed": 3, "num_frames": 9}},
    {"mode": "v2v", "request": {"prompt": "a blue circle"}, "decided": {"seed": 4, "num_frames": 17},
     "sources": [{"slot": "video", "step": 1}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, fakes.FakeService]]]:
    """The Spaces of T2V and V2V under /t2v/ and /v2v/."""
    import uvicorn
    from fastapi import FastAPI

    from tests.fleet import free_port

    folder = tmp_path_factory.mktemp("studio")
    app, services = FastAPI(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
        (folder / "cache" / "made").mkdir(parents=True)
        for key in ("t2v", "v2v"):
            shown = fakes.manifest(MODES[key], backend=GPU)
            services[key] = fakes.FakeService(MODES[key], folder / "cache" / "made", shown=shown)
            app = gr.mount_gradio_app(app, fakes.space_of(services[key]), path=f"/{key}")
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{port}", services
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"wan_recipe": 1, "name": "two", "steps": STEPS}))
    return path


def test_a_chain_is_made_there(studio, recipe: Path, capsys) -> None:
    address, services = studio
    argv = ["replay", str(recipe), "--server", address, "--set", "1.frames=5", "--out", "o.mp4", "--json"]
    assert main(argv) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(s["mode"], s["made"], s["seed"]) for s in told["steps"]] == [("t2v", True, 3), ("v2v", True, 4)]
    assert Path("o.mp4").read_bytes()[4:8] == b"ftyp" and told["same"] is None
    asked = services["v2v"].request
    assert asked is not None and asked.video is not None and asked.prompt == "a blue circle"
    assert services["t2v"].request is not None and services["t2v"].request.num_frames == 5
    assert any("num_frames was 17 and is now 5" in notice for notice in told["notices"])


def test_a_dry_run_plans_there_and_makes_nothing(studio, recipe: Path, capsys) -> None:
    address, services = studio
    services["t2v"].log.clear()
    assert main(["replay", str(recipe), "--server", address, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["plan"]["num_frames"] for s in told["steps"]] == [9, 9] and told["name"] == "two"
    assert "generate" not in services["t2v"].log


def test_what_fails_there_names_the_step_and_where_the_one_before_is(studio, recipe: Path, capsys) -> None:
    address, services = studio
    services["v2v"].failure = RuntimeError("boom")
    try:
        assert main(["replay", str(recipe), "--server", address, "--out", "o.mp4"]) == 1
    finally:
        services["v2v"].failure = None
    told = capsys.readouterr().err
    assert "the result of step 1 (t2v) is " in told and not Path("o.mp4").exists()


def test_a_space_of_one_mode_is_not_enough_for_two(studio, recipe: Path, capsys) -> None:
    address, _ = studio
    assert main(["replay", str(recipe), "--server", f"{address}/v2v"]) == 2
    assert "--server must be a Studio, or the Space of t2v; got the Space of v2v" in capsys.readouterr().err
