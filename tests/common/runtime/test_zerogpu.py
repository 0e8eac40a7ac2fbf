"""ZeroGPU's line and its refusals: signs of life while waiting, a Stop that answers, words with a way out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from spaces.zero.client import html_string
from spaces.zero.gradio import error as refused

from common.contract import Done, Lineage, Notice
from common.errors import GpuError, StudioError
from common.modes.all import MODES
from common.run.service import Ready
from common.runtime import zerogpu
from common.runtime.engine import Engine
from common.runtime.zerogpu import Carried, followed, in_words


class Gpu:
    """A GPU function that waits in ZeroGPU's line until `grant` is set, and then says a word at a time."""

    def __init__(self) -> None:
        self.grant, self.go_on, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.said = 0

    def __call__(self) -> Iterator[Carried]:
        try:
            assert self.grant.wait(60)
            while True:
                self.said += 1
                yield None, Notice(text="at work", t=1.0)
                self.go_on.wait(0.05)
        finally:
            self.closed.set()


def coming(job: Iterator[Carried], kind: str) -> Any:
    """The next event of a kind."""
    return next(event for _, event in job if not isinstance(event, StudioError) and event.type == kind)


def test_zerogpus_line_is_a_stage_with_heartbeats_and_the_clock_goes_on() -> None:
    gpu = Gpu()
    job = followed(gpu)
    assert coming(job, "stage").text == "Waiting for a ZeroGPU"
    beats = [coming(job, "heartbeat").t for _ in range(2)]
    assert beats[0] < beats[1]
    gpu.grant.set()
    assert coming(job, "notice").t >= beats[1] + 0.999, (
        "seconds since the start of the job, not of the worker"
    )
    job.close()


def test_a_stop_in_zerogpus_line_answers_at_once_and_keeps_no_gpu() -> None:
    gpu = Gpu()
    job = followed(gpu)
    next(job)
    job.close()  # would never come back if it waited for the grant
    assert not gpu.grant.is_set() and not gpu.closed.is_set()
    gpu.grant.set()
    assert gpu.closed.wait(10) and gpu.said == 1, "what is granted afterwards is given back"


def test_a_stop_on_a_zerogpu_waits_until_the_worker_has_let_go() -> None:
    gpu = Gpu()
    gpu.grant.set()
    job = followed(gpu)
    coming(job, "notice")
    job.close()
    assert gpu.closed.is_set()


def test_a_zerogpu_that_is_not_given_back_keeps_neither_the_video_nor_the_line() -> None:
    """`spaces` waits 20 minutes for a worker's next word where its answer to giving back was lost."""
    went_on, plan = threading.Event(), MODES["t2v"].plan(MODES["t2v"].parse({"prompt": "a", "seed": 7}))
    lineage = Lineage(request={}, plan=plan, seed=7, versions={}, git_sha="", created="")
    made = Done(plan=plan, seed=7, seconds=1, lineage=lineage, sha256="0" * 64)

    def gpu() -> Iterator[Carried]:
        yield None, Notice(text="at work", t=1.0)
        yield "/clip.mp4", made
        went_on.set()

    events = [(path, event) for path, event in followed(gpu) if path or isinstance(event, Notice)]
    assert [path for path, _ in events] == [None, "/clip.mp4"]
    assert not went_on.is_set(), "the word after the video was waited for"


def test_a_zerogpu_worker_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(zerogpu, "SILENCE", 1.0)

    def gpu() -> Iterator[Carried]:
        yield None, Notice(text="at work", t=1.0)
        stuck.wait(60)

    with pytest.raises(GpuError, match="said nothing for 1 s and was given up; try again") as told:
        list(followed(gpu))
    assert told.value.title == "ZeroGPU fell silent"
    stuck.set()


LINK = '<a style="white-space: nowrap" href="https://huggingface.co/join">Create a free account</a>'


@pytest.mark.parametrize(
    ("title", "said", "want", "text"),
    [
        (
            "ZeroGPU queue timeout", html_string(f"No GPU was available after 60s. {LINK} to get more", "x"),
            "ZeroGPU is busy", "try again in a few minutes",
        ),
        ("ZeroGPU client error", "No GPU was available", "ZeroGPU is busy", "try again in a few minutes"),
        ("ZeroGPU client error", "Expired ZeroGPU proxy token", "ZeroGPU client error", "reload it"),
        ("ZeroGPU worker error", "GPU task aborted", "ZeroGPU ended the job", "fewer frames"),
        ("ZeroGPU worker error", "PicklingError", "ZeroGPU worker failed", "(PicklingError); try again"),
        (
            "ZeroGPU illegal duration",
            "The requested GPU duration (1539s) is larger than the maximum allowedSubscribe to Hugging Face PRO",
            "ZeroGPU job too long", "asks for 1539 GPU seconds, more than ZeroGPU allows at once; choose Fast",
        ),
        (
            "ZeroGPU quota exceeded",
            "You have exceeded your free ZeroGPU quota (88s requested vs. 20s left). Try again in 1:00:00. ",
            "ZeroGPU quota exceeded", "(88s requested vs. 20s left). Try again in 1:00:00. A shorter job",
        ),
        ("ZeroGPU quota exceeded", "Space app has reached its GPU limit.", "ZeroGPU quota exceeded", "sign in"),
        ("ZeroGPU pending credits exceeded", f"Wait, or {LINK} &amp; more", "ZeroGPU pending credits exceeded",
         "Wait, or Create a free account & more"),
    ],
)  # fmt: skip
def test_what_zerogpu_refuses_has_words_and_no_html(title: str, said: str, want: str, text: str) -> None:
    told = in_words(refused(title, said, html="<" in said), granted=False)
    assert isinstance(told, GpuError)
    assert told.title == want and text in told.text and "<" not in told.text


def test_a_zerogpu_scheduler_that_fails_is_not_called_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    def gpu() -> Iterator[Carried]:
        raise RuntimeError("ZeroGPU API /schedule error: 500")
        yield

    with pytest.raises(GpuError, match=r"no GPU could be asked for \(RuntimeError\); try again"):
        list(followed(gpu))
    assert "/schedule error" in caplog.text, "the log has the whole of it"


def test_an_unexpected_error_in_a_worker_has_a_number_and_still_ends_the_worker(
    t2v: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(self: Engine, ready: Ready, job: object) -> None:
        raise ValueError("/secret/path")

    monkeypatch.setattr(Engine, "_work", breaks)
    request = t2v.mode.parse({"prompt": "a red circle"})
    carried = t2v.run(Ready(request, t2v.plan(request)))
    with caplog.at_level(logging.ERROR):
        told = next(item for _, item in carried if isinstance(item, StudioError))
    assert "ValueError, which nobody expected; the log has it as" in told.text
    assert "/secret/path" not in told.text and "/secret/path" in caplog.text
    with pytest.raises(ValueError):
        next(carried)
