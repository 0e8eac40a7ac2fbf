"""A job of two cards: who shares it, how it stops, and what is left when one of them goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.contract import Done, Notice, Step
from common.errors import GpuError, StudioError
from common.runtime.crew import leader
from common.runtime.sample import generate
from tests.common.runtime.crew.two_cards import Asked, followers, gone, kill
from tests.spaces import media_for_modes as media

ROOT = Path(__file__).parents[4]
LONG = {"num_inference_steps": 30, "preset": "quality", "checkpoint": "wan2.1-t2v-14b"}


def until_a_step(updates: Any) -> list[Any]:
    """The events up to the first step of a job, which then waits to be asked for more."""
    seen: list[Any] = []
    for _, event in updates:
        seen.append(event)
        if isinstance(event, Step):
            return seen
    raise AssertionError("no step")


def test_one_crew_for_all_modes_and_nothing_of_a_stop_stays(
    asked: Callable[[str], Asked], tmp_path: Path
) -> None:
    job = asked("t2v")
    wanted = job.made(1, checkpoint="wan2.1-t2v-14b")
    running = job.run(2, **LONG)
    seen = until_a_step(running)
    said = "2 cards share each step: one half makes its forward with the prompt, the other that without."
    assert any(isinstance(e, Notice) and e.text == said for e in seen)
    pids = followers()
    running.close()  # a visitor's Stop; it returns when the work has ended
    assert np.array_equal(job.made(2, checkpoint="wan2.1-t2v-14b"), wanted)
    picture = {"image": media.picture(tmp_path / "a.png"), "checkpoint": "wan2.1-i2v-14b-480p"}
    asked("i2v").made(2, **picture)
    assert followers() == pids


def test_a_stop_while_the_others_load_stops(asked: Callable[[str], Asked]) -> None:
    job = asked("t2v")
    running = job.run(2, **LONG)
    next(running)
    running.close()
    assert job.made(2).shape == (5, 128, 128, 3)


def test_a_follower_that_is_killed_fails_its_job_by_name_and_the_next_has_another(
    asked: Callable[[str], Asked],
) -> None:
    job = asked("t2v")
    running = job.run(2, **LONG)
    until_a_step(running)
    (pid,) = followers()
    kill(pid)
    with pytest.raises(GpuError, match=r"process of card 2 of 2 ended .*start it again"):
        for _ in running:
            pass
    done = [event for _, event in job.run(2) if isinstance(event, Done)]
    assert done and followers() != [pid]


@pytest.mark.slow
def test_a_follower_that_cannot_load_says_why(
    asked: Callable[[str], Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is another: it looks for a volume that is none."""
    if leader._crew is not None:
        leader._crew.end()
    own = leader._environment
    monkeypatch.setattr(leader, "_environment", lambda *given: own(*given) | {"WAN_WEIGHTS": "huge"})
    job = asked("t2v")
    with pytest.raises(GpuError, match="WAN_WEIGHTS must be nano or wan; got 'huge'"):
        list(job.run(2))
    monkeypatch.undo()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    assert job.made(2).shape == (5, 128, 128, 3)


def test_an_error_of_the_leader_ends_all_of_them_and_is_told(
    asked: Callable[[str], Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = asked("t2v")
    job.made(2)
    (pid,) = followers()
    monkeypatch.setattr(generate.Watch, "_preview", lambda *_: 1 / 0)
    with pytest.raises(StudioError, match=r"^ZeroDivisionError"):  # its own, not what the others then meet
        list(job.run(2))
    assert gone(pid)


def test_what_cannot_be_shared_has_one_card_and_says_why(asked: Callable[[str], Asked]) -> None:
    picture = {"path": "a.png"}
    _, plan = asked("animate").plan(2, image=picture, video={"path": "a.mp4"})
    assert plan.placement.cards == 1
    assert "One card of 2 makes it: between its blocks stands what looks at a face." in plan.notices


def test_unloading_lets_go_on_all_cards(asked: Callable[[str], Asked]) -> None:
    job = asked("t2v")
    wanted = job.made(2)
    job.service.unload()
    assert np.array_equal(job.made(2), wanted)


LEADER = """
import launch
service = launch.load_space("t2v").service
from common.runtime.crew import leader
request = service.mode.parse({"prompt": "x", "seed": 1, "num_frames": 5, "num_inference_steps": 50,
                              "preset": "quality", "checkpoint": "wan2.1-t2v-14b"})
for _, event in service.generate(request, service.plan(request)):
    if event.type == "step":
        print("pids", *[m.process.pid for m in leader._crew.members], flush=True)
"""


@pytest.mark.parametrize("way", ["in the middle", pytest.param("between jobs", marks=pytest.mark.slow)])
def test_a_leader_that_is_killed_leaves_nobody_behind(way: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "WAN_CARDS": "2", "GRADIO_TEMP_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"
    }
    code = LEADER
    if way == "between jobs":
        code = code.replace('"num_inference_steps": 50', '"num_inference_steps": 1') + "input()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("pids"))
        pids = [int(pid) for pid in line.split()[1:]]
        assert len(pids) == 1
        process.kill()
        process.wait()
        assert all(gone(pid) for pid in pids)
    finally:
        process.kill()
