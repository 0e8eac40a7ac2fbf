"""The watcher over Spaces of a Hub: what its questions cost, whom they keep awake, and how a sleeper is woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from huggingface_hub import HfApi, constants

from common.contract import Done, Manifest
from common.errors import UnavailableError
from common.modes.all import MODES
from router.asking import Status, ask
from router.dispatch import FederatedRunner, Studio, assumed
from router.federation import Place
from router.health import Watcher, pause
from tests.common.fakes import FakeService, space_of
from tests.hub_stand_in import Hub as StandIn
from tests.hub_stand_in.server import Fault
from tests.router.conftest import serve

PLACE = Place("t2v", "ada/wan-t2v")
VALUES = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 2, "seed": 3}


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


@dataclass
class World:
    """A stand-in Hub with Spaces, and the app behind ada/wan-t2v: `visits` are the requests that reached it."""

    hub: StandIn
    app: Any = None
    visits: list[str] = field(default_factory=list)

    def space(self, name: str, stage: str) -> Place:
        """A Space of that name, at that stage."""
        if name not in self.hub.repos:
            api = HfApi(endpoint=self.hub.url, token="hf_write")
            api.create_repo(name, repo_type="space", space_sdk="gradio")
        repo = self.hub.repos[name]
        repo.stages = [(stage, repo.head.id)]
        return Place("t2v", name)

    def asked(self) -> int:
        """How many requests the Hub has had."""
        return len(self.hub.requests)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.visits.append(f"{scope['method']} {scope['path']}")
        repo = self.hub.repos[PLACE.where]
        if repo.stages[0][0] == "SLEEPING":  # as the Hub's own proxy does
            repo.stages = [("RUNNING", repo.head.id)]
            await send({"type": "http.response.start", "status": 503, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def app(outputs: Path) -> Any:
    return gr.mount_gradio_app(FastAPI(), space_of(FakeService(MODES["t2v"], outputs)), path="/")


@pytest.fixture
def world(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with StandIn().serve() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        world = World(hub, app)
        server, thread, url = serve(world)  # type: ignore[arg-type]
        hub.hosts[PLACE.where] = url
        yield world
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def watching() -> Iterator[Callable[..., Watcher]]:
    """Makes watchers that hardly pause, and ends them."""
    made: list[Watcher] = []

    def make(*places: Place, **options: Any) -> Watcher:
        made.append(Watcher({"t2v": places}, **{"pause": lambda *_: 0.02, **options}))
        return made[-1]

    yield make
    for watcher in made:
        watcher.stop()


def test_nobody_is_asked_while_nobody_looks(world: World, watching: Callable[..., Watcher]) -> None:
    places = [world.space(f"ada/space-{i}", "SLEEPING") for i in range(5)]
    before = world.asked()
    watcher = watching(*places, look_seconds=0.3)
    watcher.start()
    until(lambda: watcher.resting)
    assert world.asked() == before, "not even once without a visitor"
    watcher.look()
    until(lambda: all(s.state == "asleep" for s in watcher.statuses("t2v")))
    until(lambda: watcher.resting)
    rested = world.asked()
    time.sleep(0.5)
    assert world.asked() == rested > before
    watcher.look()
    until(lambda: world.asked() > rested)


def asked_in(seconds: float, status: Status) -> int:
    """How often a place that always says the same is asked in so many seconds under the eyes of a visitor."""
    now, times = 0.0, 0
    while now <= seconds:
        times += 1
        now += pause(status, times)
    return times


def test_the_hub_is_asked_ever_more_rarely_under_a_visitors_eyes() -> None:
    asleep, waking = (Status(PLACE, state, "") for state in ("asleep", "waking"))
    assert [pause(asleep, n) for n in (1, 2, 3, 4, 5, 500)] == [20, 40, 80, 120, 120, 120]
    assert asked_in(60, asleep) == 3 and asked_in(3600, asleep) <= 35
    assert asked_in(3600, Status(PLACE, "ready", "")) <= 20
    assert asked_in(60, waking) >= 6, "but soon again where something is about to happen"
    near = Status(Place("t2v", "http://127.0.0.1:7861/"), "down", "")
    assert pause(near, 1) == 2 and pause(near, 500) == 10, "a neighbour costs nobody anything"


def test_a_running_space_is_visited_once_and_again_for_a_new_build(world: World) -> None:
    world.space(PLACE.where, "RUNNING")
    known = ask(PLACE)
    assert known.state == "ready" and len(world.visits) == 1
    before = world.asked()
    for _ in range(3):
        assert ask(PLACE, None, known) == known
    assert world.asked() == before + 3 and len(world.visits) == 1, "questions must not keep it awake"
    world.hub.repos[PLACE.where].stages = [("RUNNING", "f" * 40)]
    assert ask(PLACE, None, known).state == "ready" and len(world.visits) == 2


def test_a_hub_that_is_asked_too_often_is_left_alone_and_said_so(world: World) -> None:
    other = world.space("ada/other", "SLEEPING")
    world.space(PLACE.where, "RUNNING")
    watcher = Watcher({"t2v": (PLACE, other)})
    refusal = Fault("GET", "/api/spaces/", 429, times=9, headers={"Retry-After": "4000"})
    world.hub.faults.append(refusal)
    never = ask(PLACE)
    watcher.note(never)
    assert never.text == "is not known yet: the Hub takes no more questions for 4000 s (HTTP 429)"
    soon = time.monotonic() + 3900
    assert all(at > soon for at in watcher._due.values()), "its limit is for all questions, not for one Space"
    refusal.times = 0
    watcher.note(ask(PLACE))
    refusal.times = 9
    watcher.note(ask(PLACE))
    status = watcher.status("t2v")
    assert status is not None and status.state == "ready", "that it was ready is still all that is known"
    limits = {"ratelimit": '"api";r=0;t=55', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}
    world.hub.faults[:] = [Fault("GET", "/api/spaces/", 429, headers=limits)]
    assert ask(PLACE).hub_rest == 55


def test_a_sleeping_space_is_woken_by_a_visit_and_waited_for(
    world: World, watching: Callable[..., Watcher]
) -> None:
    watcher = watching(world.space(PLACE.where, "SLEEPING"))
    assert watcher.wait_asked(60)
    status = watcher.status("t2v")
    assert status is not None and status.state == "asleep" and "press Generate to wake it" in status.text
    assert not world.visits, "asking about it does not wake it"
    watcher.wake("t2v")
    status = watcher.status("t2v")
    assert status is not None and status.text == "is waking up; that takes about a minute or two"
    until(lambda: watcher.look() or watcher.ready("t2v"))
    assert world.visits[0] == "GET /"


@pytest.mark.parametrize(("token", "visited"), [("hf_write", False), ("hf_read", True)])
def test_who_may_restarts_a_sleeping_space_through_the_hub(
    world: World, watching: Callable[..., Watcher], token: str, visited: bool
) -> None:
    place = world.space(PLACE.where, "SLEEPING")
    if token == "hf_read":
        world.hub.faults.append(Fault("POST", "/restart", 403))
    watcher = watching(place, token=token)
    watcher.wait_asked(60)
    watcher.wake("t2v")
    if visited:
        until(lambda: watcher.look() or "GET /" in world.visits)
    else:
        until(lambda: watcher.look() or "restart" in world.hub.repos[PLACE.where].writes)
        world.space(PLACE.where, "RUNNING")
        until(lambda: watcher.look() or watcher.ready("t2v"))
        assert "GET /" not in world.visits
        assert world.hub.repos[PLACE.where].writes.count("restart") == 1


def test_a_paused_space_is_not_woken_and_says_so(world: World, watching: Callable[..., Watcher]) -> None:
    studio = Studio(watching(world.space(PLACE.where, "PAUSED")))
    with pytest.raises(
        UnavailableError, match="Text to Video is paused by its owner, who alone can restart it"
    ):
        asyncio.run(anext(FederatedRunner(MODES["t2v"], studio).stream(VALUES)))
    studio.watcher.wake("t2v")
    until(lambda: not studio.watcher._asking)
    status = studio.watcher.status("t2v")
    assert status is not None and status.state == "paused" and not world.visits


def test_generate_on_a_sleeping_mode_waits_as_a_stage_and_then_runs(
    world: World, watching: Callable[..., Watcher]
) -> None:
    studio = Studio(watching(world.space(PLACE.where, "SLEEPING")))

    async def job() -> list[Any]:
        return [event async for _, event in FederatedRunner(MODES["t2v"], studio).stream(VALUES)]

    events = asyncio.run(asyncio.wait_for(job(), 120))
    assert events[0].type == "stage" and events[0].name == "wake"
    assert events[0].text == "Text to Video is waking up; that takes about a minute or two"
    assert isinstance(events[-1], Done)
    times = [event.t for event in events]
    assert times == sorted(times), "one clock for the wait and the work"


def test_a_stop_while_a_mode_wakes_answers_at_once_and_sends_nothing(
    world: World, watching: Callable[..., Watcher]
) -> None:
    world.space(PLACE.where, "SLEEPING")
    world.app = None
    studio = Studio(watching(PLACE, pause=lambda *_: 1000))

    async def job() -> None:
        async with aclosing(FederatedRunner(MODES["t2v"], studio).stream(VALUES)) as updates:
            seen = [(await anext(updates))[1].type for _ in range(3)]
            assert seen == ["stage", "heartbeat", "heartbeat"]

    asyncio.run(asyncio.wait_for(job(), 60))
    assert not any(studio.busy.values()) and not any("generate" in visit for visit in world.visits)


def test_a_broken_rule_wakes_nobody(world: World, watching: Callable[..., Watcher]) -> None:
    studio = Studio(watching(world.space(PLACE.where, "SLEEPING")))
    with pytest.raises(Exception, match="num_frames"):
        asyncio.run(anext(FederatedRunner(MODES["t2v"], studio).stream({**VALUES, "num_frames": "many"})))
    assert not world.visits


def test_what_was_ready_long_ago_is_asked_before_a_job(
    world: World, watching: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.space(PLACE.where, "RUNNING")
    studio = Studio(watching(PLACE, pause=lambda *_: 1000))
    studio.watcher.note(ask(PLACE))
    world.space(PLACE.where, "PAUSED")
    monkeypatch.setattr("router.health.FRESH_SECONDS", 0.0)
    with pytest.raises(UnavailableError, match="is paused by its owner"):
        asyncio.run(anext(FederatedRunner(MODES["t2v"], studio).stream(VALUES)))


def manifest(key: str, loaded: tuple[str, ...] = ()) -> Manifest:
    everything = assumed(MODES["t2v"])
    infos = [info for info in everything.checkpoints if info.key == key]
    return everything.model_copy(
        update={"checkpoints": infos, "default_checkpoint": key, "loaded": list(loaded)}
    )


def test_the_mark_of_what_is_carried_changes_with_the_menus_and_with_nothing_else() -> None:
    one, two = Place("t2v", "ada/one"), Place("t2v", "ada/two")
    watcher = Watcher({"t2v": (one, two)})
    marks = [watcher.carried]

    def after(place: Place, state: Any, shown: Manifest | None = None) -> bool:
        watcher.note(Status(place, state, "", shown, "http://x/"))
        marks.append(watcher.carried)
        return marks[-1] != marks[-2]

    assert not after(one, "building"), "nothing is known yet"
    assert after(one, "ready", manifest("wan2.1-t2v-14b"))
    assert not after(one, "ready", manifest("wan2.1-t2v-14b", loaded=("wan2.1-t2v-14b",)))
    assert after(two, "ready", manifest("wan2.2-t2v-a14b")), "a Space that comes up later"
    assert after(two, "asleep")
    assert not after(one, "ready", manifest("wan2.1-t2v-14b"))
    assert after(one, "ready", manifest("wan2.1-t2v-1.3b")), "deployed anew with another model"
