"""The tiles of a batch: what they say, what their buttons do, and that they do nothing for a stranger."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import gradio as gr
import pytest

from common.contract import Failed, MediaHandle, Notice, Step, Stopped
from common.errors import InputError
from common.modes.all import MODES
from common.run.batch import Member, Spread, members
from common.run.book import Book, Entry
from common.run.drafts import MAY_CHANGE, drafts
from router import batches, waiting
from router.batches import Batches
from router.dispatch import Studio
from router.federation import mounted
from router.visitors import owner_of
from tests.common.fakes import manifest
from tests.common.run.scripts import done_of

T2V = MODES["t2v"]
SECRET, OTHER = "1" * 32, "2" * 32
ME, YOU = owner_of(SECRET, personal=False) or "", owner_of(OTHER, personal=False) or ""
HEADERS = {"x-ip-token": "who pays", "host": "studio"}
ASKED = {"prompt": "a {red|blue} circle", "seed": 5}


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    """One whose line begins nothing: what is asked for is looked at in the book."""
    studio = Studio.over(mounted("http://127.0.0.1:9", ["t2v", "i2v"]))
    monkeypatch.setattr(studio.line, "advance", lambda: None)

    async def admit(self: Any, values: Any) -> None:
        T2V.plan_by(manifest(T2V), values)

    monkeypatch.setattr("router.dispatch.FederatedRunner.admit", admit)
    return studio


@pytest.fixture
def shown(studio: Studio) -> Batches:
    with gr.Blocks():
        visitor = gr.Textbox(visible=False)
        panels: Any = {key: SimpleNamespace(back=gr.Textbox(visible=False)) for key in ("t2v", "i2v")}
        page = Batches(studio, panels, visitor)
        page.draw()
    return page


def enter(book: Book, found: list[Member], owner: str = ME) -> list[Entry]:
    return book.add_batch(owner, str(uuid4()), "t2v", found)


def sweep(count: int = 1) -> list[Member]:
    return members(T2V, manifest(T2V), ASKED, Spread(count))


def drafted() -> list[Member]:
    return drafts(T2V, manifest(T2V), ASKED | {"prompt": "a red circle", "width": 192, "height": 128}).members


def done(book: Book, entry: Entry) -> None:
    book.begin(entry.id)
    _, event = done_of(T2V)
    book.end(entry.id, "done", event, MediaHandle(path=f"/results/{entry.asked['seed']}.mp4", mime="video/mp4"))


def drawn(book: Book, owner: str = ME) -> dict[str, Any]:
    return json.loads(batches.tiles(book, owner))


def act(page: Batches, what: object, job: object, secret: str = SECRET) -> dict[Any, Any]:
    event: Any = SimpleNamespace(_data={"act": what, "job": job})
    request: Any = SimpleNamespace(headers=HEADERS)
    return asyncio.run(page.act(request, secret, event))


def test_each_tile_says_what_differs_and_how_far_it_is() -> None:
    book = Book()
    jobs = enter(book, sweep(2))
    book.begin(jobs[0].id)
    book.write(jobs[0].id, Step(index=3, total=4, eta_seconds=7))
    done(book, jobs[1])
    book.end(jobs[2].id, "failed", Failed(code="gpu", title="GPU <b>", text="out of memory"))
    batch = drawn(book)["t2v"]
    assert [job for job, _ in batch["tiles"]] == [job.id for job in jobs]
    runs, made, failed, waits = (html for _, html in batch["tiles"])
    assert "red · seed 5" in runs and "step 3 of 4, 7 s left" in runs and "width:75%" in runs
    assert 'src="gradio_api/file=/results/6.mp4"' in made and "red · seed 6" in made and "muted loop" in made
    assert "GPU &lt;b&gt;: out of memory" in failed and "blue · seed 5" in failed
    assert "waits" in waits and " disabled" in waits and "Make it" not in "".join((runs, made, failed, waits))
    assert "4 variations" in batch["head"] and "1 runs · 1 wait · 1 done · 1 failed" in batch["head"]
    assert "Cancel all" in batch["head"]


def test_the_last_batch_of_each_mode_is_shown_to_its_owner_alone() -> None:
    book = Book()
    enter(book, sweep())
    second = enter(book, sweep())
    assert [job for job, _ in drawn(book)["t2v"]["tiles"]] == [e.id for e in second]
    assert drawn(book, YOU) == {} == json.loads(batches.tiles(book, None))


def test_what_strangers_wrote_is_text() -> None:
    book = Book()
    asked = {"prompt": '{<img src=x onerror="alert(1)">|"b" & c}', "seed": 1}
    with pytest.raises(InputError):
        T2V.plan_by(manifest(T2V), {**asked, "prompt": ""})
    plan = sweep()[0].plan
    enter(book, [Member(asked, '<img src=x onerror="alert(1)"> & "quotes"', plan)])
    text = json.dumps(drawn(book))
    assert "<img" not in text and "&lt;img" in text
    html = drawn(book)["t2v"]["tiles"][0][1]
    assert not re.search(r'="[^"]*"quotes"', html)


def test_a_tile_is_shown_in_its_panel(shown: Batches) -> None:
    book = shown.studio.book
    first, second = enter(book, sweep())
    done(book, second)
    updates = act(shown, "show", second.id)
    assert updates[shown.panels["t2v"].back].split()[0] == second.id and updates[shown.went] == ""
    assert json.loads(updates[shown.data])["t2v"]["tiles"][0][0] == first.id


def test_a_draft_is_made_in_quality_once_with_its_seed_and_the_size_that_was_asked_for(shown: Batches) -> None:
    book = shown.studio.book
    jobs = enter(book, drafted())
    for job in jobs:
        done(book, job)
    assert "Make it in Quality" in drawn(book)["t2v"]["tiles"][1][1] and "4 drafts" in drawn(book)["t2v"]["head"]
    for _ in range(2):
        updates = act(shown, "better", jobs[1].id)
    made = updates[shown.panels["t2v"].back].split()[0]
    assert updates[shown.went] == "quality"
    (entry,) = [e for e in book.entries(ME) if e.batch is None]
    assert entry.id == made and entry.state == "waiting" and entry.aim is None
    assert entry.billed, "by the quota of who has clicked"
    assert entry.asked == {"prompt": "a red circle", "preset": "quality", "seed": 6, "width": 192, "height": 128}
    assert [e.text for _, e in book.events(made) if isinstance(e, Notice)] == [MAY_CHANGE]
    assert "Show in Quality" in drawn(book)["t2v"]["tiles"][1][1]
    book.end(made, "cancelled", Stopped())
    assert "Make it in Quality" in drawn(book)["t2v"]["tiles"][1][1]
    act(shown, "better", jobs[1].id)
    again = book.entry(ME, made)
    assert again and again.state == "waiting", "one that was stopped is asked for anew"


def test_a_batch_is_cancelled_and_cleared_as_a_whole_and_nothing_else_is(shown: Batches) -> None:
    book = shown.studio.book
    other, jobs = enter(book, sweep()), enter(book, sweep(2))
    done(book, jobs[0])
    act(shown, "cancel", jobs[3].id)
    assert [e.state for e in book.batch(ME, str(jobs[0].batch))] == ["done", *["cancelled"] * 3]
    act(shown, "clear", jobs[0].id)
    assert [e.id for e in book.entries(ME)] == [e.id for e in other]


@pytest.mark.parametrize("what", ["show", "better", "cancel", "clear", "", None, 7, ["cancel"], {"a": 1}])
def test_nobody_does_anything_with_anothers_batch(shown: Batches, what: object) -> None:
    book = shown.studio.book
    jobs = enter(book, drafted())
    done(book, jobs[0])
    before = [(e.id, e.state) for e in book.entries(ME)]
    for secret in (OTHER, ""):
        for job in (jobs[0].id, jobs[1].id, jobs[0].batch, None, 7, ["x"], {"a": 1}, "x" * 10_000):
            updates = act(shown, what, job, secret)
            assert updates == {shown.went: "", shown.data: "{}"}
    assert [(e.id, e.state) for e in book.entries(ME)] == before and book.entries(YOU) == []


def test_the_queue_lists_a_batch_under_its_name_and_cancels_it_whole(studio: Studio) -> None:
    line = studio.line
    single = line.book.add(ME, str(uuid4()), "t2v", {"prompt": "a green star"})
    jobs = enter(line.book, sweep(2))
    html = waiting.page(line, ME)
    assert html.count('class="batch-row"') == 1 and "T2V: 4 variations" in html and "red · seed 5 · " in html
    assert html.index("a green star") < html.index("batch-row") < html.index("red · seed 5")
    for owner in (YOU, None):
        assert waiting.act(line, owner, "cancel-batch", jobs[0].batch) is None
    assert all(e.state == "waiting" for e in line.book.entries(ME))
    waiting.act(line, ME, "up", jobs[1].id)
    assert [job.id for job in line.book.line()][1:3] == [jobs[1].id, jobs[0].id], "its members change places"
    waiting.act(line, ME, "cancel-batch", jobs[0].batch)
    assert {e.id for e in line.book.entries(ME) if e.alive} == {single.id}
    assert "batch-row" not in waiting.page(line, ME)
