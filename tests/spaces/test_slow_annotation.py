"""Ten seconds of annotation show how far they are from the start, and Stop ends them at the next frame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from deploy import federation, targets
from deploy.local import LocalFederation, demo
from tests import studio
from tests.deploy.test_deploy_local import free_ports
from tests.spaces import media_for_modes as media

pytestmark = pytest.mark.slow
FRAMES = 17


@contextmanager
def launcher(folder: Path, env: dict[str, str]) -> Iterator[str]:
    with studio.process(folder, "vace", **env) as (address, _):
        yield f"{address}/vace/"


@contextmanager
def bundle(folder: Path, env: dict[str, str]) -> Iterator[str]:
    every = targets.resolve(federation.load(profile="demo"), "ada")
    wanted = demo([target for target in every if target.name == "vace"])
    local = LocalFederation(wanted, folder, free_ports(len(wanted)), env=env)
    try:
        local.start(120)
        yield local.url("vace")
    finally:
        local.stop()


@pytest.fixture(scope="module", params=[launcher, bundle])
def space(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of VACE with a slow annotator, and the lines that this wrote."""
    folder = tmp_path_factory.mktemp("slow")
    log = folder / "frames.log"
    log.touch()
    path = os.pathsep.join(
        [str(Path(__file__).with_name("slow_annotator")), os.environ.get("PYTHONPATH", "")]
    )
    with request.param(folder, {"PYTHONPATH": path, "SLOW_ANNOTATOR_LOG": str(log)}) as address:
        yield Client(address, verbose=False), lambda: log.read_text().split()


@pytest.mark.parametrize("endpoint", ["/generate", "/prepare"])
def test_a_slow_annotation_counts_and_stops(space: Any, endpoint: str, tmp_path: Path) -> None:
    client, lines = space
    before = len(lines())
    clip = media.clip(tmp_path / f"{endpoint[1:]}.mp4", FRAMES)["path"]
    asked = {"prompt": "a red circle", "submode": "gray", "num_frames": FRAMES, "seed": len(endpoint)}
    job = client.submit(**asked, video=handle_file(clip), api_name=endpoint)
    counts: list[tuple[int | None, int | None]] = []
    for *_, event in job:
        if event and event["type"] == "stage" and event["text"].startswith("Making the control"):
            counts.append((event["done"], event["total"]))
            if (event["done"] or 0) >= 3:
                break
    assert counts[0] == (None, None), "the stage is named before its first frame"
    assert counts[1:] and all(total == FRAMES for _, total in counts[1:])
    assert counts[1][0] in (0, 1, 2), "it counts from the first second"
    job.cancel()
    begun = len(lines()) - before
    while "end" not in lines()[before:]:
        time.sleep(0.05)
    made = lines()[before:].count("frame")
    assert made <= begun + 2 < FRAMES, "a frame takes more than half a second"
