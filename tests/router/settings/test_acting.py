"""What a person may do about their own Studio's models, asked of real Spaces over HTTP; and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from common import cache
from common.contract import Stopped
from common.errors import InputError, StudioError, UnavailableError
from common.modes.all import MODES
from router.asking import ask
from router.dispatch import Studio
from router.federation import Place
from router.settings.acting import Acting
from router.visitors import OWN
from tests.common.fakes import StockedService, manifest, space_of

FIRST, OTHER = "wan2.2-t2v-a14b", "wan2.1-t2v-1.3b"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StockedService, str]]:
    shown = manifest(MODES["t2v"], weights="wan")
    service = StockedService(MODES["t2v"], tmp_path_factory.mktemp("t2v"), shown=shown)
    blocks: gr.Blocks = space_of(service)
    blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield service, str(blocks.local_url)
    blocks.close()


def acting(url: str, *, personal: bool = True, admin: str = StockedService.admin) -> Acting:
    place = Place("t2v", url, mount=True)
    studio = Studio.over({"t2v": (place,)}, personal=personal, admin=admin)
    studio.watcher.note(ask(place))
    return Acting(studio)


def did(own: Acting, *asked: Any) -> int:
    return asyncio.run(own.act(*asked))


def disk(own: Acting, key: str) -> Any:
    (status,) = own.studio.watcher.statuses("t2v")
    assert status.manifest
    return next(i.disk for i in status.manifest.checkpoints if i.key == key)


def test_a_model_is_fetched_followed_and_deleted(served: tuple[StockedService, str], tmp_path: Path) -> None:
    service, url = served
    service.hold = tmp_path / "hold"
    service.hold.touch()
    own = acting(url)
    did(own, "download", "t2v", OTHER)
    assert disk(own, OTHER).coming.state == "running", "what was asked for shows at once"
    own.poll()
    service.hold.unlink()
    own._polled = 0.0
    own.poll()
    assert disk(own, OTHER).whole
    assert did(own, "delete", "t2v", OTHER) == 8_000_000_000 and not disk(own, OTHER).bytes
    assert did(own, "clear_cache") == 5_000_000


def test_only_a_person_with_the_secret_may(served: tuple[StockedService, str]) -> None:
    service, url = served
    before = list(service.log)
    for stranger in (acting(url, personal=False), acting(url, admin="")):
        assert not stranger.places()
        for asked in (("delete", "t2v", FIRST), ("clear_cache",), ("unload",), ("download", "t2v", OTHER)):
            with pytest.raises(UnavailableError, match="nothing of this Studio can be changed"):
                did(stranger, *asked)
    with pytest.raises(StudioError, match="must be this Space's WAN_ADMIN"):
        did(acting(url, admin="another secret, quite long"), "delete", "t2v", FIRST)
    assert service.log == before


STRANGE: list[Any] = [
    (["delete"], "t2v", FIRST), ("delete", ["t2v"], FIRST), ("delete", "t2v", [FIRST]), ("reset",), (None,),
    ({"a": 1},), ("x" * 100_000,), ("delete", None, None),
]  # fmt: skip


@pytest.mark.parametrize("asked", STRANGE, ids=lambda asked: str(asked)[:30])
def test_what_no_page_sends_is_refused(served: tuple[StockedService, str], asked: tuple[Any, ...]) -> None:
    service, url = served
    before = list(service.log)
    with pytest.raises(InputError, match="action must be one of this page's"):
        did(acting(url), *asked)
    with pytest.raises(UnavailableError):
        did(acting(url), "delete", "", FIRST)
    assert service.log == before


def test_a_model_that_a_job_of_the_line_needs_is_not_deleted(served: tuple[StockedService, str]) -> None:
    _, url = served
    own = acting(url)
    job = "00000000-0000-4000-8000-000000000001"
    own.studio.book.add(OWN, job, "t2v", {"prompt": "x"}, billed=False)
    with pytest.raises(UnavailableError, match="cancel it in the Queue"):
        did(own, "delete", "t2v", FIRST)  # by the mode's default
    own.studio.book.end(job, "cancelled", Stopped())
    assert did(own, "delete", "t2v", FIRST) == 8_000_000_000


def test_what_a_page_or_a_waiting_job_needs_is_held_while_videos_are_cleared(
    served: tuple[StockedService, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service, url = served
    own, seen = acting(url), list[bool]()
    shown, given = tmp_path / "shown.mp4", tmp_path / "given.png"
    job = "00000000-0000-4000-8000-000000000002"
    own.studio.book.add(OWN, job, "i2v", {"prompt": "x", "image": {"path": str(given)}}, billed=False)
    monkeypatch.setattr(service, "clearing", lambda: seen.extend(map(cache.held, (shown, given))))
    did(own, "clear_cache", "", "", [str(shown)])
    assert seen == [True, True] and not cache.held(shown) and not cache.held(given)
