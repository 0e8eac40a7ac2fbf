"""`wan-studio plan` plans for the machine that would do it: this one, or that of a Studio elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from cli.main import main
from common.contract import Backend
from common.modes.all import MODES
from common.runtime.device import backend as machine
from tests.common import fakes

CARD = Backend(device="cuda", name="A card of 24 GB", memory_bytes=25_300_000_000, capability=(8, 9))
GPU = Backend(device="cuda", name="ZeroGPU xlarge", memory_bytes=102_000_000_000, gpu_size="xlarge")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "detect", lambda settings, first: CARD)
    for name in ("WAN_CHECKPOINTS", "WAN_GPU_SIZE", "WAN_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, fakes.FakeService]]]:
    """The Spaces of T2V and V2V under /t2v/ and /v2v/, on a machine that is not this one."""
    import threading

    import uvicorn
    from fastapi import FastAPI

    from tests.fleet import free_port

    folder = tmp_path_factory.mktemp("studio")
    app, services = FastAPI(), {}
    for key in ("t2v", "v2v"):
        shown = fakes.manifest(MODES[key], backend=GPU, weights="wan")
        services[key] = fakes.FakeService(MODES[key], folder, shown=shown)
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


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = (line.partition(" ") for line in capsys.readouterr().out.splitlines())
    return {name: value.strip() for name, _, value in lines}


def test_placement_of_this_machine_is_planned_and_told(here, capsys) -> None:
    assert main(["plan", "t2v", "a fox", "--weights", "wan", "--checkpoint", "wan2.1-t2v-14b"]) == 0
    told = said(capsys)
    request = MODES["t2v"].parse({"prompt": "a fox", "checkpoint": "wan2.1-t2v-14b"})
    placed = MODES["t2v"].plan(request, CARD, weights="wan").placement
    assert placed is not None and placed.offload != "none"
    assert told["machine"] == "A card of 24 GB, 25.3 GB"
    assert told["peak"] == f"{placed.peak_bytes / 1e9:.1f} GB"
    assert f"transformer {placed.precision['transformer']}" in told["placement"]
    assert f"{placed.offload} offload" in told["placement"] and "image_encoder" not in told["placement"]


def test_what_a_machine_does_for_speed_is_told(monkeypatch, here, capsys) -> None:
    hopper = {"compiles": True, "attention": "fa3", "step_cache": True, "memory_bytes": 85_000_000_000}
    monkeypatch.setattr(machine, "detect", lambda settings, first: CARD.model_copy(update=hopper))
    asked = ["plan", "t2v", "a fox", "--weights", "wan", "--checkpoint", "wan2.1-t2v-14b", "--preset"]
    assert main([*asked, "quality"]) == 0
    assert "fa3-8-bit attention, compiled blocks, shortcuts" in said(capsys)["placement"]
    assert main([*asked, "fast"]) == 0
    assert said(capsys)["placement"].endswith("compiled blocks")


def test_placement_that_does_not_fit_this_machine_is_told(monkeypatch, here, capsys) -> None:
    small = Backend(device="cpu", name="A laptop", memory_bytes=16_000_000_000)
    monkeypatch.setattr(machine, "detect", lambda settings, first: small)
    assert main(["plan", "t2v", "a fox", "--weights", "wan"]) == 0
    told = said(capsys)
    assert told["placement"] == "does not fit" and "Not enough memory" in told["notices"]
    assert main(["plan", "t2v", "a fox", "--weights", "wan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["placement"] is None


def test_plan_here_keeps_to_the_checkpoints_of_this_machine(monkeypatch, here, capsys) -> None:
    monkeypatch.setenv("WAN_CHECKPOINTS", "wan2.1-t2v-1.3b")
    assert main(["plan", "t2v", "a fox", "--weights", "wan"]) == 0
    assert said(capsys)["checkpoint"] == "wan2.1-t2v-1.3b"
    assert main(["plan", "vace", "a fox", "--video", "a.mp4", "--weights", "wan"]) == 2
    assert "WAN_CHECKPOINTS has no checkpoint for vace" in capsys.readouterr().err


def test_plan_on_a_server_is_that_of_its_machine_and_weights(studio, capsys) -> None:
    url, services = studio
    services["t2v"].log.clear()
    assert main(["plan", "t2v", "a fox", "--server", url, "--frames", "41", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["weights"], plan["gpu_size"], plan["num_frames"], plan["width"]) == (
        "wan",
        "xlarge",
        41,
        832,
    )
    assert services["t2v"].log == ["plan"], "the Space made it, and made no video"
    for same in (f"{url}/", f"{url}/t2v", f"{url}/t2v/"):  # a Studio, or the mode's own Space
        assert main(["plan", "t2v", "a fox", "--server", same]) == 0
        assert said(capsys)["machine"] == "ZeroGPU xlarge, 102.0 GB"
    assert main(["plan", "v2v", "a fox", "--server", f"{url}/t2v", "--video", "https://a/a.mp4"]) == 2
    error = capsys.readouterr().err
    assert "--server must be a Studio, or the Space of v2v; got the Space of t2v" in error


def test_plan_on_a_server_takes_media_along_and_hears_its_refusals(studio, tmp_path: Path, capsys) -> None:
    url, _ = studio
    clip = tmp_path / "a.mp4"
    fakes.clip(clip, 128, 128, 17, 16)
    argv = ["plan", "v2v", "a fox", "--server", url]
    assert main([*argv, "--video", str(clip), "--strength", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["strength"] == 0.5
    assert main([*argv, "--video", str(clip), "--strength", "3"]) == 2
    assert "strength must be above 0 and at most 1" in capsys.readouterr().err
    assert main([*argv, "--video", str(tmp_path / "none.mp4")]) == 2
    assert main(["plan", "t2v", "a fox", "--server", url, "--frames", "80"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].endswith("num_frames must be 4k+1; got 80, try 77 or 81")


def test_plan_on_a_server_that_is_down_or_is_none(capsys) -> None:
    assert main(["plan", "t2v", "a fox", "--server", "http://127.0.0.1:9"]) == 1
    assert "Text to Video cannot be reached" in capsys.readouterr().err
    assert main(["plan", "t2v", "a fox", "--server", "here"]) == 2
    assert "--server must be the URL of a Studio or Space; got 'here'" in capsys.readouterr().err


def test_the_quick_no_of_generate_is_of_rules_and_the_machines_own_of_memory(
    monkeypatch, tmp_path: Path, capsys
) -> None:
    """An H100 makes what a CPU does not: before torch is asked, nobody knows which of them this is."""
    import launch
    from common.errors import InputError

    asked: list[str] = []

    def load_space(key: str):
        asked.append(key)
        raise InputError("checkpoint", "must fit into this machine's memory")

    monkeypatch.setattr(launch, "load_space", load_space)
    monkeypatch.setattr(launch, "prepare_environment", lambda weights: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    argv = ["generate", "t2v", "a fox", "--weights", "wan", "--out", str(tmp_path / "a.mp4")]
    assert main([*argv, "--size", "1280x720"]) == 2 and asked == ["t2v"]
    assert main([*argv, "--frames", "80"]) == 2 and asked == ["t2v"], "a broken rule needs no machine"
