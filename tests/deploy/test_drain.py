"""A mode is drained before it is updated: a push to the stand-in Hub, whose Spaces are real mode apps."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import Cancelled
from common.modes.all import MODES
from deploy import cli, status
from deploy.hub import Hub
from deploy.push import Push
from deploy.restart import Restart
from deploy.rollback import Rollback
from deploy.targets import Target
from tests.common.fakes import FakeService, space_of
from tests.common.page.test_intake import KEY, Held, until
from tests.deploy.conftest import Desk
from tests.hub_stand_in import Fault

FIRST, SECOND = "ada/wan-studio-demo-t2v", "ada/wan-studio-demo-t2v-2"
ENV = {"MY_ADMIN": KEY}


@pytest.fixture
def places(desk: Desk, tmp_path: Path) -> Iterator[tuple[Held, Held]]:
    """Two Spaces of one mode, pushed once; each answers as a real app, whose jobs are held."""
    two: list[Held] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        two.append(Held(tmp_path / name))
    desk.server.hosts = {FIRST: two[0].url, SECOND: two[1].url}
    assert set(push(desk).values()) == {"pushed"}
    change(desk)
    yield two[0], two[1]
    for space in two:
        space.hold.unlink(missing_ok=True)
        space.blocks.close()


def targets(desk: Desk) -> list[Target]:
    t2v = next(t for t in desk.targets(secrets={"WAN_ADMIN": "MY_ADMIN"}) if t.name == "t2v")
    return [t2v, replace(t2v, name="t2v-2", repo_id=SECOND)]


def change(desk: Desk) -> None:
    desk.commit_touching("common/contract.py", "NAME = 'two'\n")
    desk.said.clear()


def push(desk: Desk, wanted: list[Target] | None = None, hub: Hub | None = None, **more: object) -> dict[str, str]:
    options: dict = {"env": ENV, **more}
    work = Push(hub or desk.hub, root=desk.root, probe=lambda *_: "answers", **options)
    return {r.target.name: r.outcome for r in work.run(wanted or targets(desk))}


def hub_that(desk: Desk, sleep: Callable[[float], object]) -> Hub:
    return Hub(desk.hub.api, sleep=sleep, say=desk.said.append)


def told(desk: Desk, words: str) -> bool:
    return any(words in line for line in desk.said)


def at_commit(desk: Desk, repo: str, look: Callable[[], object], status: int | None = None) -> None:
    name = repo.removeprefix("ada/")
    desk.server.faults.append(Fault("POST", rf"{name}/commit/", before=lambda: look() and None, status=status))


def test_a_push_lets_the_job_end_first_and_one_place_serves_all_the_time(
    desk: Desk, places: tuple[Held, Held]
) -> None:
    first, second = places
    second.hold.unlink()
    job = first.submit(1)
    until(lambda: first.jobs() == (1, 0), "it runs")
    seen: list[object] = []
    for repo in (FIRST, SECOND):
        at_commit(desk, repo, lambda repo=repo: seen.append(
            (repo, first.jobs(), first.manifest().draining, second.manifest().draining)
        ))  # fmt: skip

    def sleep(seconds: float) -> None:
        if told(desk, f"{FIRST} finishes 1 job first") and first.hold.exists():
            seen.append("waited")
            first.hold.unlink()
        until(lambda: first.hold.exists() or first.jobs() == (0, 0), "it ends")

    assert push(desk, hub=hub_that(desk, sleep)) == {"t2v": "pushed", "t2v-2": "pushed"}
    assert seen == ["waited", (FIRST, (0, 0), True, False), (SECOND, (0, 0), False, True)]
    assert job.result(60)[1]["type"] == "done"
    assert not first.manifest().draining and not second.manifest().draining
    assert not any(KEY in line for line in desk.said), "the secret is nobody's to read"


def test_a_job_that_does_not_end_holds_no_push_for_ever(desk: Desk, places: tuple[Held, Held]) -> None:
    first, _ = places
    job = first.submit(1)
    until(lambda: first.jobs() == (1, 0), "it runs")
    assert push(desk, targets(desk)[:1], drain_seconds=20) == {"t2v": "pushed"}
    assert told(desk, f"{FIRST} still has 1 job after 20 s, which will be lost")
    assert sum(desk.slept) >= 20
    job.cancel()


def test_a_push_that_fails_lets_the_place_take_jobs_again(desk: Desk, places: tuple[Held, Held]) -> None:
    first, _ = places
    seen: list[bool] = []
    at_commit(desk, FIRST, lambda: seen.append(first.manifest().draining), status=403)
    assert push(desk, targets(desk)[:1]) == {"t2v": "failed"}
    assert seen == [True] and not first.manifest().draining


def test_who_stops_the_push_while_it_waits_stops_the_draining(desk: Desk, places: tuple[Held, Held]) -> None:
    first, _ = places
    job = first.submit(1)
    until(lambda: first.jobs() == (1, 0), "it runs")

    def sleep(seconds: float) -> None:
        assert first.manifest().draining
        raise Cancelled()

    with pytest.raises(Cancelled):
        push(desk, targets(desk)[:1], hub_that(desk, sleep))
    assert not first.manifest().draining
    assert desk.server.repos[FIRST].writes == ["create", "commit", "tag"]
    job.cancel()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "is not drained: $MY_ADMIN is not set here"),
        ({"MY_ADMIN": "another secret of 16"}, "is not drained, and updated all the same: it says: key must be"),
    ],
)  # fmt: skip
def test_without_the_secret_a_place_is_updated_as_it_is(
    desk: Desk, places: tuple[Held, Held], env: dict[str, str], words: str
) -> None:
    first, _ = places
    seen: list[bool] = []
    at_commit(desk, FIRST, lambda: seen.append(first.manifest().draining))
    assert push(desk, targets(desk)[:1], env=env) == {"t2v": "pushed"}
    assert seen == [False] and told(desk, f"{FIRST} {words}")


def test_what_does_not_answer_or_has_no_admin_is_told_in_a_line_and_updated(
    desk: Desk, places: tuple[Held, Held], tmp_path: Path
) -> None:
    desk.server.repos[FIRST].host = "http://127.0.0.1:9"
    old = space_of(FakeService(MODES["t2v"], tmp_path))
    old.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    desk.server.repos[SECOND].host = str(old.local_url)
    assert push(desk) == {"t2v": "pushed", "t2v-2": "pushed"}
    old.close()
    assert told(desk, f"{FIRST} is not drained, and updated all the same: it does not answer (ConnectError)")
    assert told(desk, f"{SECOND} is not drained, and updated all the same: it ")


def test_nothing_is_drained_without_need_or_wish(desk: Desk, places: tuple[Held, Held]) -> None:
    first, _ = places
    drained: list[object] = []
    first.blocks.intake.drain = lambda: drained.append(1)  # type: ignore[union-attr]
    assert push(desk, targets(desk)[:1], drain_seconds=0) == {"t2v": "pushed"}
    assert push(desk, targets(desk)[:1]) == {"t2v": "unchanged"}
    assert drained == [] and not first.manifest().draining


@pytest.mark.parametrize("command", ["restart", "rollback"])
def test_a_restart_and_a_rollback_drain_too(
    desk: Desk, places: tuple[Held, Held], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = places
    push(desk, targets(desk)[:1], drain_seconds=0)
    monkeypatch.setenv("MY_ADMIN", KEY)
    job = first.submit(1)
    until(lambda: first.jobs() == (1, 0), "it runs")
    before = list(desk.server.repos[FIRST].writes)

    def sleep(seconds: float) -> None:
        if first.hold.exists():
            assert first.manifest().draining and desk.server.repos[FIRST].writes == before
            first.hold.unlink()
        until(lambda: first.jobs() == (0, 0), "it ends")

    hub, wanted = hub_that(desk, sleep), targets(desk)[:1]
    if command == "restart":
        results = Restart(hub, probe=lambda *_: "answers").run(wanted)
    else:
        results = Rollback(hub).run(wanted)
    assert [r.outcome for r in results] == ["restarted" if command == "restart" else "pushed"]
    assert job.result(60)[1]["type"] == "done" and not first.manifest().draining
    assert desk.server.repos[FIRST].writes != before


def test_the_flags_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli.add_commands(parser)
    for command in ("push", "restart", "rollback"):
        assert parser.parse_args([command]).drain_seconds == 600
        assert parser.parse_args([command, "--no-drain"]).drain_seconds == 0
        assert parser.parse_args([command, "--drain-seconds", "30"]).drain_seconds == 30
    for wrong in ("nan", "-1", "inf", "soon", "1e9"):
        with pytest.raises(SystemExit):
            parser.parse_args(["push", f"--drain-seconds={wrong}"])
        assert "--drain-seconds" in capsys.readouterr().err


def test_status_says_which_place_runs_which_commit(desk: Desk) -> None:
    pair = targets(desk)
    push(desk, pair)
    assert "not the same everywhere" not in status.table(status.status(desk.hub, pair))
    old = desk.server.repos[FIRST].head.tree["bundle.json"]
    change(desk)
    push(desk, pair[1:])
    text = status.table(status.status(desk.hub, pair))
    assert f"t2v is not the same everywhere: {FIRST} runs " in text and f", {SECOND} runs " in text
    assert json.loads(old)["git_sha"][:12] in text
    assert status.skew(status.status(desk.hub, pair[:1])) == []
