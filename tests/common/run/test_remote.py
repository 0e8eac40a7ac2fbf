"""What a remote job's thread does with what the client gives it: nothing lost, nothing misread, always cancelled."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError, Status, TooManyRequestsError

from common.contract import Notice, Step
from common.errors import InputError, StudioError, UnavailableError
from common.modes.all import MODES
from common.run import pulse, remote
from common.run.remote import RemoteRunner

MODE = MODES["t2v"]
STEP = {"v": 2, "type": "step", "t": 0.1, "index": 1, "total": 4}


class Growing(list[Any]):
    """The client's own list: something arrives whenever somebody has just looked."""

    def __init__(self, coming: list[Any]) -> None:
        super().__init__()
        self.coming = coming

    def arrive(self) -> None:
        if self.coming:
            self.append(self.coming.pop(0))

    def __getitem__(self, index: Any) -> Any:
        found = list.__getitem__(self, index)
        self.arrive()
        return found


class FakeJob:
    """A client's job: `outputs` grow between two looks; `event_id` is known from the third look on."""

    def __init__(self, coming: list[Any], failure: BaseException | None = None, *, ends: bool = True) -> None:
        self.list, self.failure, self.ends = Growing(coming), failure, ends
        self.looks, self.cancelled_with = 0, "never"

    @property
    def communicator(self) -> Any:
        self.looks += 1
        return SimpleNamespace(event_id="e" if self.looks > 3 else None)

    def done(self) -> bool:
        self.list.arrive()
        return self.cancelled_with != "never" or (self.ends and not self.list.coming)

    def outputs(self) -> list[Any]:
        return self.list

    def result(self) -> None:
        if self.failure:
            raise self.failure

    def cancel(self) -> bool:
        self.cancelled_with = "an event" if self.looks > 3 else "nothing"
        return True


def poll(job: Any, stop: threading.Event | None = None) -> list[Any]:
    told: list[Any] = []
    runner = RemoteRunner(MODE, "http://x/")
    runner._poll(job, runner._progress, told.append, stop or threading.Event())
    return [item for (item,) in told]


def test_what_arrives_between_two_looks_is_not_lost() -> None:
    told = poll(FakeJob([(None, {**STEP, "index": i}) for i in range(1, 41)]))
    assert [event.index for _, event in told] == list(range(1, 41))


def test_a_newer_mode_may_say_more_than_we_know() -> None:
    told = poll(FakeJob([
        (None, {**STEP, "speed": 3.5, "segment": 2}),
        (None, {"v": 2, "type": "thumbnail", "t": 1, "webp": "…"}),
        (None, {"type": "notice", "text": "x", "level": "info"}),
    ]))  # fmt: skip
    assert [type(event) for _, event in told] == [Step, Notice]


@pytest.mark.parametrize(
    "event", [{**STEP, "index": "many"}, {}, None, "done", {"type": 7}, {"type": "done"}]
)
def test_what_cannot_be_read_is_said_in_words(event: Any) -> None:
    with pytest.raises(UnavailableError, match="Text to Video answers in a way that this Studio cannot read"):
        poll(FakeJob([(None, event)]))


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (CancelledError(), UnavailableError, "Text to Video went away in the middle of the job"),
        (QueueError("Queue is full!"), UnavailableError, "too many jobs wait for Text to Video; try again"),
        (TooManyRequestsError("429"), UnavailableError, "is asked too often"),
        (AppError("seed must be …", title="Check the input"), InputError, "seed must be"),
        (AppError("no", title="ZeroGPU quota exceeded"), StudioError, "no"),
        (RuntimeError("boom"), UnavailableError, r"cannot be reached \(RuntimeError\)"),
    ],
)
def test_no_failure_wears_anothers_name(failure: BaseException, kind: type[StudioError], text: str) -> None:
    with pytest.raises(kind, match=text):
        poll(FakeJob([], failure))


def test_a_cancel_waits_until_the_client_knows_what_to_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    job: Any = FakeJob([], ends=False)
    remote._cancel(job)
    assert job.cancelled_with == "an event"
    done: Any = FakeJob([])
    remote._cancel(done)
    assert done.cancelled_with == "never", "there is nothing to cancel"


@pytest.mark.parametrize("coming", [[(None, {"type": "done"})], []])
def test_a_job_is_cancelled_whatever_ends_its_polling(
    coming: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(coming, ends=False)
    client = SimpleNamespace(submit=lambda **_: job, close=lambda: None)
    runner, stop, told = RemoteRunner(MODE, "http://silent/"), threading.Event(), []
    monkeypatch.setattr(runner, "_ready_client", lambda visitor: client)
    monkeypatch.setattr(runner, "_answers", lambda: False)
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", 0.05)
    call = remote._Call("/generate", {"prompt": "a"}, {}, runner._progress)
    runner._follow(call, told.append, stop)
    assert job.cancelled_with == "an event"
    assert isinstance(told[-1], UnavailableError)


def test_a_job_that_waits_says_how_many_are_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "QUEUED_SECONDS", -1.0)
    ranks = iter([2, 2, 1, 0, 0])
    job: Any = SimpleNamespace(
        done=lambda: False,
        outputs=list,
        status=lambda: SimpleNamespace(code=Status.IN_QUEUE, rank=next(ranks)),
    )
    stop, told = threading.Event(), []

    def tell(item: Any) -> None:
        told.append(item)
        if len(told) == 3:
            stop.set()

    RemoteRunner(MODE, "http://waiting/")._poll(job, lambda output: output, tell, stop)
    assert [event.position for (event,) in told] == [3, 2, 1]


def test_a_job_at_work_is_told_no_place_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "QUEUED_SECONDS", -1.0)
    job: Any = FakeJob([(None, {"type": "notice", "text": "made", "t": 0})])
    job.status = lambda: SimpleNamespace(code=Status.ITERATING, rank=None)
    assert [event.type for _, event in poll(job)] == ["notice"]
