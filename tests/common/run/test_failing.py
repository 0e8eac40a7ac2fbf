"""A failure reaches whoever asked with its code, field and hint: a client, the Studio's panel, the command line."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from cli import main as cli
from common import errors
from common.contract import EVENTS, Failed, Stopped
from common.errors import InputError, StudioError
from common.modes.all import MODES
from common.panels.all import PANELS
from common.run.fake import FakeRunner
from common.run.local import LocalRunner
from common.run.remote import RemoteRunner
from common.run.runner import ending, job_id
from tests.common import fakes
from tests.common.fakes import space_of

MODE = MODES["t2v"]
JOB = "0d9f3a52-7f3c-4a3e-9a53-2f7a6a1c9b10"
RAISED: list[StudioError] = [
    errors.StudioError("it does not work", title="Odd"),
    errors.InputError("num_frames", "must be 4k+1", got=80, hint="try 77 or 81"),
    errors.MediaError("image", "cannot be read", hint="save it as PNG"),
    errors.WeightsError("wan2.1-t2v-14b is not here"),
    errors.MissingDependency("transformers is not installed"),
    errors.GpuError("out of memory"),
    errors.DiskError("its disk is full"),
    errors.ResultError("the model produced invalid numbers"),
    errors.UnavailableError("it is asleep"),
    errors.Cancelled(),
]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, fakes.FakeService]]:
    """The address of a mode Space (ending in `/`), and its service."""
    service = fakes.FakeService(MODE, tmp_path_factory.mktemp("space"))
    blocks = space_of(service)
    blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield str(blocks.local_url), service
    blocks.close()


@pytest.fixture(params=RAISED, ids=lambda error: type(error).__name__)
def failure(request: pytest.FixtureRequest, space: tuple[str, fakes.FakeService]) -> Iterator[StudioError]:
    """What the mode raises at its second step."""
    space[1].failure = request.param
    yield request.param
    space[1].failure = None


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [k for k in (StudioError, *_all_kinds(StudioError)) if k.__module__ == errors.__name__]
    assert len({kind.code for kind in kinds}) == len(kinds) == len(RAISED)
    for error in RAISED:
        again = errors.received(error.facts())
        assert type(again) is type(error) and again.facts() == error.facts() and str(again) == str(error)
        assert pickle.loads(pickle.dumps(error)).facts() == error.facts()


def _all_kinds(kind: type[StudioError]) -> list[type[StudioError]]:
    return [k for sub in kind.__subclasses__() for k in (sub, *_all_kinds(sub))]


def test_an_error_of_a_newer_mode_is_told_all_the_same() -> None:
    facts = {"code": "moon", "title": "No moon", "text": "wait for the night", "field": None, "hint": None}
    again = errors.received(facts)
    assert type(again) is StudioError and (again.title, again.text) == ("No moon", "wait for the night")


def test_a_client_is_told_whole_and_raises(
    space: tuple[str, fakes.FakeService], failure: StudioError
) -> None:
    client = Client(space[0], verbose=False, token=False, ssl_verify=False)
    job = client.submit(prompt="a", job=JOB, api_name="/generate")
    with pytest.raises(AppError) as raised:
        job.result(60)
    events = [event for _, event in job.outputs()]
    assert {event["job"] for event in events} == {JOB} and {event["v"] for event in events} == {2}
    last = EVENTS[events[-1]["type"]].model_validate(events[-1])
    assert last == ending(failure, JOB).model_copy(update={"t": last.t}) and last.t >= events[-2]["t"]
    assert raised.value.message == failure.text and raised.value.title == failure.title


def test_a_router_is_told_whole(space: tuple[str, fakes.FakeService], failure: StudioError) -> None:
    async def follow() -> None:
        async for _ in RemoteRunner(MODE, space[0]).stream({"prompt": "a"}):
            pass

    with pytest.raises(type(failure)) as raised:
        asyncio.run(follow())
    assert raised.value.facts() == failure.facts()


def test_a_panel_shows_it(failure: StudioError) -> None:
    panel = _panel(FakeRunner(MODE, fakes.manifest(MODE), [failure]))
    last = asyncio.run(_last(panel))
    shown = "".join(str(part) for part in last[1:3])
    told = panel.in_words(failure)
    assert told.facts() | {"text": ""} == failure.facts() | {"text": ""}
    assert ("Stopped." if failure.code == "cancelled" else told.text) in shown


def _panel(runner: Any) -> Any:
    import gradio as gr

    with gr.Blocks():
        panel = PANELS["t2v"](runner, fakes.manifest(MODE), queue={})
        panel.draw()
    return panel


async def _last(panel: Any) -> list[Any]:
    raw = [part.value for part in panel.inputs.components.values()]
    return [u async for u in panel._generate(SimpleNamespace(headers={}), "", "", False, *raw)][-1]


def test_the_command_line_says_it_in_one_line_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: StudioError
) -> None:
    monkeypatch.setattr("cli.terminal.follow", lambda *_: (_ for _ in ()).throw(failure))
    code = cli.main(["generate", "t2v", "a red circle", "--server", "http://127.0.0.1:1", "--json"])
    out, err = capsys.readouterr()
    assert code == failure.exit_code and err == f"wan-studio: {failure}\n"
    assert json.loads(out) == {"failed": failure.facts()}


def test_a_job_has_the_callers_id_or_a_new_one_and_no_other(
    space: tuple[str, fakes.FakeService], tmp_path: Path
) -> None:
    client = Client(space[0], verbose=False, token=False, ssl_verify=False)
    video, event = client.predict(prompt="a", job=JOB.upper(), api_name="/generate")
    assert video and event["job"] == JOB
    first, second = (client.predict(prompt="a", api_name="/generate")[1]["job"] for _ in range(2))
    assert UUID(first) != UUID(second)
    with pytest.raises(AppError, match="job must be a UUID; got 'mine', leave it out"):
        client.predict(prompt="a", job="mine", api_name="/generate")

    async def jobs(asked: str | None) -> set[str]:
        service = fakes.FakeService(MODE, tmp_path)
        return {e.job async for _, e in LocalRunner(service).stream({"prompt": "a"}, None, asked)}

    mine = str(uuid4())
    assert asyncio.run(jobs(mine)) == {mine} and len(asyncio.run(jobs(None))) == 1
    for odd in ("0", "../x", "é", 7, ["a"], "00000000-0000-0000-0000-00000000000g"):
        with pytest.raises(InputError, match="job must be a UUID"):
            job_id(odd)


def test_a_stop_is_no_failure() -> None:
    assert isinstance(ending(errors.Cancelled(), JOB), Stopped)
    assert isinstance(ending(errors.GpuError("no"), JOB), Failed)
