"""Results reach the disk's gallery as their Done passes the Studio, with no page open; nobody else's secret helps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.contract import Done
from common.modes.all import MODES
from common.run.runner import OWNER
from router.gallery.disk import Disk
from router.gallery.keeping import Keeping
from router.visitors import OWN
from tests.router.conftest import Fleet

VALUES = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 2, "seed": 77}
SECRET, OTHER = "0123456789abcdef" * 2, "f" * 32


@pytest.fixture
def disk(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(tmp_path / "state")
    monkeypatch.setattr(fleet.studio, "keep", Keeping(made, fleet.studio.traffic))
    return made


async def done(fleet: Fleet, headers: dict[str, str], seed: int = 77) -> Done:
    async for _, event in fleet.runner("t2v").stream({**VALUES, "seed": seed}, headers):
        if isinstance(event, Done):
            return event
    raise AssertionError("no done")


def made(fleet: Fleet, headers: dict[str, str], seed: int = 77) -> Done:
    return asyncio.run(asyncio.wait_for(done(fleet, headers, seed), 60))


def test_on_ones_own_machine_every_result_is_kept_with_its_thumbnail(
    fleet: Fleet, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet.studio, "personal", True)
    event = made(fleet, {OWNER: OWN})
    (item,) = disk.shelf(OWN).items()
    assert (item.key, item.lineage) == (event.sha256, event.lineage)
    assert disk.shelf(OWN).has_thumbnail(item)
    assert [i.key for i in Disk(disk.folder.parent).shelf(OWN).items()] == [event.sha256], "lost by a restart"


def test_on_a_hosted_studio_it_is_its_visitors_alone(fleet: Fleet, disk: Disk) -> None:
    event = made(fleet, {OWNER: fleet.studio.owner(SECRET) or ""})
    assert [i.key for i in disk.shelf(fleet.studio.owner(SECRET)).items()] == [event.sha256]
    assert not disk.shelf(fleet.studio.owner(OTHER)).items()
    assert not list(disk.folder.rglob(f"*{SECRET}*")), "the secret itself is on the disk"


def test_who_shows_no_secret_has_the_result_and_no_gallery(fleet: Fleet, disk: Disk) -> None:
    runner = fleet.studio.runner(MODES["t2v"])

    async def go() -> None:
        # What a visitor's own headers say of an owner is nobody's word.
        async for _ in runner.stream({"prompt": "a red circle", "seed": 78}, {OWNER: OWN}):
            pass

    asyncio.run(asyncio.wait_for(go(), 60))
    assert not list(disk.folder.rglob("*.mp4"))


def test_a_result_that_cannot_be_kept_is_a_result(
    fleet: Fleet, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "keep", full)
    assert made(fleet, {OWNER: OWN}).sha256
    assert "was not kept" in caplog.text
