"""A pool over workers of this process: who gets which job, and what is lost when calls, workers or disks are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from common import cache
from common.contract import Backend, Done, Notice, Step
from common.errors import GpuError, StudioError, UnavailableError
from common.modes.t2v import MODE
from common.run.service import Ready
from common.runtime import again
from common.runtime.lending import pool as pools
from common.runtime.lending.pool import Lost, Pool, Unreachable
from common.runtime.lending.replica import Replica, Told
from common.settings import SpaceSettings

APP = Path(__file__).with_name("pretended.py")


@dataclass
class Worker:
    """A worker that is a thread; `fault` may raise before a call is made, or after it was (`lose`)."""

    name: str
    replica: Replica = field(default_factory=Replica)
    fault: Callable[[str], None] = lambda method: None
    lose: Callable[[str], bool] = lambda method: False
    ended: int = 0
    calls: list[str] = field(default_factory=list)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def ask(self, method: str, *args: Any, **named: Any) -> Future[Any]:
        self.calls.append(method)
        return self.threads.submit(self._call, method, args, named)

    def _call(self, method: str, args: Any, named: Any) -> Any:
        self.fault(method)
        given = getattr(self.replica, method)(*args, **named)
        if self.lose(method):
            raise Unreachable(self.name)
        return given

    def answer(self, call: Future[Any], seconds: float) -> Any:
        try:
            return call.result(seconds)
        except Late:
            raise TimeoutError from None

    def end(self) -> None:
        self.ended += 1
        self.replica = Replica()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pools, "LOOK", 0.02)


@pytest.fixture
def engine() -> Iterator[Any]:
    engine = again.load(APP).service
    engine.__init__()
    yield engine
    engine.go.set()


def ready(words: str, checkpoint: str = "wan2.1-t2v-1.3b", **inputs: Any) -> Ready[Any]:
    request = MODE.parse({"prompt": words, "checkpoint": checkpoint, "seed": 7})
    return Ready(request, MODE.plan(request, Backend()), inputs)


def of(count: int) -> tuple[Pool, list[Worker]]:
    workers = [Worker(f"worker {number + 1} of {count}") for number in range(count)]
    return Pool(workers), workers


def made(pool: Pool, engine: Any, job: Ready[Any]) -> tuple[list[Any], Path | None]:
    """All that a job said, and its file; raises what it ended with."""
    items, path = [], None
    for place, item in pool.run(engine, job):
        if isinstance(item, StudioError):
            raise item
        items.append(item)
        path = Path(place) if place else path
    return items, path


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "never became true"
        time.sleep(0.005)


def begun(pool: Pool, engine: Any, job: Ready[Any]) -> tuple[Any, list[Any]]:
    """A job in a thread of its own, once it has begun; what it says comes into the list, a StudioError last."""
    said: list[Any] = []

    def follow() -> None:
        try:
            said.extend(made(pool, engine, job)[0])
        except StudioError as error:
            said.append(error)

    count = len(engine.begun)
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    until(lambda: len(engine.begun) > count)
    return thread, said


def test_a_job_says_what_it_would_in_this_process(engine: Any) -> None:
    pool, _ = of(1)
    items, path = made(pool, engine, ready("a circle"))
    steps = [item.index for item in items if isinstance(item, Step)]
    assert steps == [1, 2, 3, 4] and isinstance(items[-1], Done)
    assert path and path.read_bytes() == b"a circle" * 3
    assert pool.held()[0].checkpoint == "wan2.1-t2v-1.3b"


def test_a_job_goes_where_its_model_is_loaded_then_to_an_empty_worker(engine: Any) -> None:
    pool, workers = of(2)
    used = []
    for checkpoint in ("wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.1-t2v-14b"):
        before = [worker.calls.count("begin") for worker in workers]
        made(pool, engine, ready("a circle", checkpoint))
        used += [n for n, worker in enumerate(workers) if worker.calls.count("begin") > before[n]]
        engine.has = []  # each worker's own word: the pretended one is shared
    assert used == [0, 1, 0, 1, 1]


def test_as_many_at_once_as_there_are_workers_and_a_stop_ends_its_own_alone(engine: Any) -> None:
    pool, _ = of(2)
    assert pool.line.places == 2
    first = pool.run(engine, ready("hold one"))
    next(first)
    until(lambda: "hold one" in engine.begun)
    thread, said = begun(pool, engine, ready("wait two"))
    first.close()
    assert engine.closed == ["hold one"]
    engine.go.set()
    thread.join(60)
    assert isinstance(said[-1], Done)
    assert isinstance(made(pool, engine, ready("three"))[0][-1], Done)


def test_a_stop_before_the_worker_has_heard_of_the_job_ends_it_too(engine: Any) -> None:
    pool, (worker,) = of(1)
    gate = threading.Event()

    def late(method: str) -> None:
        if method == "begin":
            gate.wait(60)

    worker.fault = late
    job = pool.run(engine, ready("hold late"))
    next(job)
    job.close()
    gate.set()
    worker.fault = lambda method: None
    assert isinstance(made(pool, engine, ready("next"))[0][-1], Done)
    assert "hold late" not in engine.begun


@pytest.mark.parametrize("every", [2, 3, 5])
def test_answers_that_do_not_arrive_lose_nothing_and_do_nothing_twice(engine: Any, every: int) -> None:
    pool, (worker,) = of(1)
    count = 0

    def lost(method: str) -> bool:
        nonlocal count
        count += 1
        return count % every == 0

    worker.lose = lost
    for number in range(4):
        items, path = made(pool, engine, ready(f"job {number}"))
        assert [item.index for item in items if isinstance(item, Step)] == [1, 2, 3, 4]
        assert path and path.is_file()
    assert engine.begun == [f"job {number}" for number in range(4)]


def test_a_dead_workers_job_is_done_by_another_once(engine: Any) -> None:
    pool, workers = of(2)
    thread, said = begun(pool, engine, ready("wait for it"))
    dead = next(worker for worker in workers if "begin" in worker.calls)
    dead.end()  # and another process in its place, which knows nothing
    until(lambda: len(engine.begun) == 2)
    engine.go.set()
    thread.join(60)
    assert isinstance(said[-1], Done) and sum(isinstance(item, Done) for item in said) == 1
    notice = next(item for item in said if isinstance(item, Notice))
    assert dead.name in notice.text and "begins again" in notice.text
    assert [w.calls.count("begin") for w in workers] == [1, 1]


def test_a_job_that_takes_two_workers_down_fails_by_their_names(engine: Any) -> None:
    pool, workers = of(3)
    thread, said = begun(pool, engine, ready("hold"))
    for count in (1, 2):
        until(lambda count=count: len(engine.begun) == count)
        until(lambda: any(w.calls.count("more") and not w.ended for w in workers if "begin" in w.calls))
        next(worker for worker in workers if "begin" in worker.calls and not worker.ended).end()
    thread.join(60)
    error = said[-1]
    assert isinstance(error, GpuError) and error.title == "The worker died"
    assert all(w.name in str(error) for w in workers if w.ended)
    assert isinstance(made(pool, engine, ready("next"))[0][-1], Done)


def test_a_pool_of_one_waits_for_its_worker_to_come_back(engine: Any) -> None:
    pool, (worker,) = of(1)
    away = threading.Event()

    def fault(method: str) -> None:
        if away.is_set():
            raise Lost(worker.name)

    worker.fault = fault
    thread, said = begun(pool, engine, ready("wait"))
    away.set()
    worker.end()
    until(lambda: worker.calls.count("hello") > 2)
    engine.go.set()
    away.clear()
    thread.join(60)
    assert isinstance(said[-1], Done)
    assert any(item.type == "stage" and "come up" in item.text for item in said)


def test_no_worker_for_long_is_told(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "COMEBACK", 0.2)
    pool, (worker,) = of(1)

    def fault(method: str) -> None:
        raise Lost(worker.name)

    worker.fault = fault
    with pytest.raises(GpuError, match="no worker came up"):
        made(pool, engine, ready("a circle"))


def test_what_nobody_expects_is_told_and_its_process_is_not_used_again(engine: Any) -> None:
    pool, (worker,) = of(1)
    with pytest.raises(StudioError, match="the log has it as"):
        made(pool, engine, ready("raise"))
    assert worker.ended == 1
    assert isinstance(made(pool, engine, ready("next"))[0][-1], Done)


def test_an_error_of_the_job_costs_no_worker_and_is_not_tried_again(engine: Any) -> None:
    pool, (worker,) = of(1)
    with pytest.raises(GpuError, match="Out of GPU memory"):
        made(pool, engine, ready("refuse"))
    assert worker.ended == 0 and engine.begun == ["refuse"]


def test_an_engine_that_cannot_be_imported_there_fails_by_name(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, _ = of(1)
    monkeypatch.setattr(pools, "_app", lambda borrower: "spaces/none/app.py")
    with pytest.raises(StudioError, match="the log has it as"):
        made(pool, engine, ready("a circle"))


class Far(Replica):
    """A worker with another disk: under the same names there are other files, or none."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def there(self, path: str) -> Path:
        return self.folder / Path(path).relative_to(cache.root())

    def alone(self) -> None:
        pass

    def sees(self, path: str) -> bool:
        return self.there(path).is_file()

    def size(self, path: str) -> int:
        return self.there(path).stat().st_size

    def put(self, path: str, start: int, piece: bytes, *, last: bool) -> None:
        super().put(str(cache.root() / "far" / Path(path).relative_to(cache.root())), start, piece, last=last)

    def get(self, path: str, start: int, most: int) -> bytes:
        with self.there(path).open("rb") as file:
            file.seek(start)
            return file.read(most)

    def more(self, job: str, seen: int) -> Told | None:
        told = super().more(job, seen)
        for path in [p for p, _ in told.items if p] + told.left if told else []:
            if Path(path).is_file():
                self.there(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).replace(self.there(path))
        return told


def test_files_travel_where_the_disk_is_another(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.runtime.lending.parcels.PIECE", 7)
    far = Far(cache.root() / "far")
    pool = Pool([Worker("far", far)])
    before = cache.results() / "before.npy"
    before.write_bytes(b"twenty-two bytes of it")
    after = cache.results() / "segments" / "after.npy"
    after.parent.mkdir()
    after.write_bytes(b"made there")
    _, path = made(pool, engine, ready("a circle", reads=[before], writes=[after]))
    assert far.there(str(before)).read_bytes() == before.read_bytes()
    assert after.read_bytes() == b"made there" == far.there(str(after)).read_bytes()
    assert path and path.read_bytes() == b"a circle" * 3


def test_a_worker_touches_no_file_outside_of_the_cache(tmp_path: Path) -> None:
    replica = Replica()
    secret = tmp_path / "secret"
    secret.write_text("a token")
    for path in (secret, cache.root() / ".." / "secret", Path("/etc/passwd")):
        with pytest.raises(StudioError):
            replica.get(str(path), 0, 10)
        with pytest.raises(StudioError):
            replica.put(str(path), 0, b"", last=True)
    assert secret.read_text() == "a token"


def test_the_smallest_machine_is_planned_for_and_one_that_is_silent_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, workers = of(3)
    sizes = {workers[0].name: 80, workers[1].name: 48}

    def fault(method: str) -> None:
        raise Lost("third")

    for worker in workers[:2]:
        found = Backend(memory_bytes=sizes[worker.name], name=worker.name)
        monkeypatch.setattr(worker.replica, "machine", lambda settings, keys, found=found: found)
    workers[2].fault = fault
    backend = pool.backend(SpaceSettings(), ["wan2.1-t2v-1.3b"])
    assert backend.memory_bytes == 48
    for worker in workers:
        worker.fault = fault
    with pytest.raises(UnavailableError, match="none of the 3 workers"):
        pool.backend(SpaceSettings(), ["wan2.1-t2v-1.3b"])


def test_all_let_their_models_go(engine: Any) -> None:
    pool, _ = of(2)
    made(pool, engine, ready("a circle"))
    pool.unload()
    assert engine.unloaded == 2 and pool.held() == []


def test_a_file_whose_sender_broke_off_is_whole_when_it_is_sent_again() -> None:
    replica, path = Replica(), cache.results() / "segment-0001.npy"
    replica.put(str(path), 0, b"the first half of it and", last=False)
    assert not path.exists()
    for start, piece in ((0, b"all "), (4, b"of it")):
        replica.put(str(path), start, piece, last=start > 0)
    assert path.read_bytes() == b"all of it"
