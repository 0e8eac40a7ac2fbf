"""Two visitors of one hosted Studio: every event of the page, called by one with the other's ids, gives nothing."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.media.files import sha256
from common.run.book import NAME, Book
from router.visitors import owner_of
from tests.fleet import end, free_port, start
from tests.security.attacker import Page

pytestmark = pytest.mark.slow

WORDS = "a red circle that nobody else may hear of"
WAITING = "a blue square that waits"
DRAFTED = "a green star that is drafted"


@dataclass
class Victim:
    """A visitor with a finished job in the Gallery, one that runs, and one and a batch's drafts that wait."""

    url: str
    secret: str
    jobs: list[str]
    digest: str
    result: str
    state: Path
    batch: str
    drafts: list[str]

    @property
    def owner(self) -> str:
        return owner_of(self.secret, personal=False) or ""

    def states(self) -> dict[str, str]:
        """Her jobs as she sees them, all of them."""
        return Page(self.url, self.secret).queue()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder, port = tmp_path_factory.mktemp("crossed"), free_port()
    state, hold = folder / "state", folder / "hold"
    arguments = ("--modes", "t2v", "i2v", "--router", "--pause", "0", "--hold", str(hold))
    server = start(port, *arguments, env={"GRADIO_TEMP_DIR": str(folder / "cache"), "WAN_STATE": str(state)})
    url, secret = f"http://127.0.0.1:{port}/", secrets.token_hex(16)
    page, jobs = Page(url, secret), [f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3)]
    (result,) = set(re.findall(r"t2v-\d+\.mp4", page.generate(WORDS, jobs[0])))
    (kept,) = (state / "gallery" / (owner_of(secret, personal=False) or "")).glob("*.mp4")
    hold.touch()
    for words, job in ((WORDS, jobs[1]), (WAITING, jobs[2])):
        page.begin(words, job)
        while job not in page.queue():
            assert server.poll() is None
    batch = "b0000000-0000-4000-8000-000000000000"
    page.draft(DRAFTED, batch)
    drafts = [job for job in page.queue() if job not in jobs]
    assert len(drafts) == 4
    yield Victim(url, secret, jobs, sha256(kept), result, state, batch, drafts)
    end(server)


def told(victim: Victim) -> list[dict[str, Any]]:
    """What a page's own script would say with its events, with another's ids."""
    acts = ("up", "down", "cancel", "forget", "show", "better", "clear", "favourite", "delete", "undo")
    jobs = [*victim.jobs, victim.drafts[0]]
    both = [{"act": act, "job": job, "key": victim.digest} for act in acts for job in jobs]
    return [
        *both,
        {"act": "cancel-batch", "job": victim.batch},
        {"key": victim.digest, "kind": "sheet", "keys": [victim.digest, victim.digest], "meaning": 0, "head": 0},
        {"index": 0, "value": victim.jobs[1], "key": victim.owner, "job": victim.owner, "act": "cancel"},
    ]


def test_every_event_with_anothers_ids_gives_nothing_and_changes_nothing(victim: Victim) -> None:
    stranger = Page(victim.url, secrets.token_hex(16))
    before, tried = victim.states(), 0
    assert list(before.values()).count("waiting") == 1 + len(victim.drafts), before
    ids = [victim.jobs[0], victim.digest, victim.owner]
    told_nobody = (WORDS, WAITING, DRAFTED, victim.result)
    for event in stranger.events:
        kinds = stranger.kinds(event["inputs"])
        for number, asked in enumerate(ids):
            data = [
                asked if kind == "textbox" and value in ("", None) else value
                for kind, value in zip(kinds, stranger.values(event), strict=True)
            ]
            shown = [stranger.secret, asked] if number else [f"{asked} 1", stranger.secret]
            data[: len(shown)] = shown[: len(data)]
            body = {
                "fn_index": event["id"], "data": data, "session_hash": secrets.token_hex(6),
                "event_data": told(victim)[number],
            }  # fmt: skip
            answer = _answered(stranger, event, body)
            tried += 1
            assert not any(words in answer for words in told_nobody), (event["id"], answer[:500])
    assert tried > 300
    assert victim.states() == before, "somebody else has moved or ended a job"


def test_what_the_buttons_say_with_anothers_ids_does_nothing(victim: Victim) -> None:
    stranger, before = Page(victim.url, secrets.token_hex(16)), victim.states()
    heard = [e for e in stranger.events if any(n in ("click", "select", "like", "submit") for _, n in e["targets"])]
    lists = [e for e in heard if stranger.kinds([t for t, _ in e["targets"] if t is not None]) == ["html"]]
    assert lists
    for event in lists:
        for said in told(victim):
            data = stranger.values(event)
            data[:1] = [stranger.secret]
            body = {
                "fn_index": event["id"], "data": data, "session_hash": secrets.token_hex(6), "event_data": said,
            }  # fmt: skip
            answer = _answered(stranger, event, body)
            assert not any(words in answer for words in (WORDS, WAITING, DRAFTED)), (event["id"], said)
    assert victim.states() == before
    assert len(list((victim.state / "gallery" / victim.owner).glob("*.mp4"))) == 1


def test_a_batch_with_anothers_id_is_not_entered_and_tells_nothing(victim: Victim) -> None:
    stranger, before = Page(victim.url, secrets.token_hex(16)), victim.states()
    answer = stranger.draft("a yellow circle", victim.batch)
    assert "must be new" in answer and not any(job in answer for job in victim.drafts)
    assert stranger.queue() == {} and victim.states() == before


def test_neither_the_book_nor_the_gallery_is_served(victim: Victim) -> None:
    kept = next((victim.state / "gallery" / victim.owner).glob("*.mp4"))
    for path in (victim.state / NAME, victim.state / f"{NAME}-wal", kept, victim.state / "gallery"):
        for base in (victim.url, f"{victim.url}t2v/"):
            assert httpx.get(f"{base}gradio_api/file={path}", timeout=30).status_code in (403, 404), path


def test_the_books_file_names_no_secret(victim: Victim) -> None:
    for file in victim.state.rglob("*"):
        if file.is_file():
            assert victim.secret.encode() not in file.read_bytes(), file


def test_a_book_in_use_is_not_opened_twice(victim: Victim) -> None:
    with pytest.raises(Exception, match="another Studio"):
        Book(victim.state / NAME)


def _answered(page: Page, event: dict[str, Any], body: dict[str, Any]) -> str:
    """The answer of an event; of one that waits in line what comes until it is over, or stands still."""
    if event["id"] not in page.queued:
        return page.http.post(f"{page.url}gradio_api/run/predict", json=body).text
    joined = page.http.post(f"{page.url}gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.text
    heard: list[str] = []
    try:
        address = f"{page.url}gradio_api/queue/data?session_hash={body['session_hash']}"
        with page.http.stream("GET", address, timeout=httpx.Timeout(30, read=1)) as reply:
            for line in reply.iter_lines():
                heard.append(line)
                if "process_completed" in line or len(heard) > 20:
                    break
    except httpx.ReadTimeout:  # it waits behind the job that stands still
        pass
    return "\n".join(heard)
