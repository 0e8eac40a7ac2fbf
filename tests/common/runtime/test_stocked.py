"""What a real engine tells of its models and LoRAs, and what its owner may do about them."""

from __future__ import annotations

from typing import Any

import pytest

from common.contract import Jobs
from common.errors import InputError, UnavailableError
from common.run.service import Administered
from common.runtime.model import stock
from common.settings import SpaceSettings

KEY = "wan2.1-t2v-14b"


def loras(engine: Any) -> dict[str, Any]:
    return {lora.key: lora for lora in engine.manifest().loras}


def test_a_manifest_tells_what_is_on_disk_and_what_is_loaded(t2v: Any, run: Any) -> None:
    t2v.unload()
    assert isinstance(t2v, Administered)
    disks = {info.key: info.disk for info in t2v.manifest().checkpoints}
    assert all(disk.where == "code" and disk.whole and disk.bytes > 1_000_000 for disk in disks.values())
    assert not t2v.manifest().administered, "without a secret nobody may"
    assert not loras(t2v)["lightning-2.1-t2v"].loaded and loras(t2v)["lightning-2.1-t2v"].disk.whole
    run(checkpoint=KEY, preset="fast", seed=1)
    assert loras(t2v)["lightning-2.1-t2v"].loaded and not loras(t2v)["lightning-2.2-t2v"].loaded
    t2v.unload()
    assert not loras(t2v)["lightning-2.1-t2v"].loaded


def test_a_job_holds_its_checkpoint_from_the_line_to_its_end(t2v: Any) -> None:
    request = t2v.mode.parse({"prompt": "a red circle moving right on a black background", "checkpoint": KEY})
    job = t2v.generate(request, t2v.plan(request))
    assert not stock.used(KEY)
    next(job)
    assert stock.used(KEY)
    job.close()
    assert not stock.used(KEY)


STRANGE: list[Any] = ["", "wan2.1-vace-14b", "../../etc", ["wan2.1-t2v-14b"], None, {"a": 1}, "x" * 100_000]


@pytest.mark.parametrize("key", STRANGE, ids=lambda key: str(key)[:20])
def test_a_checkpoint_must_be_one_of_the_mode(t2v: Any, key: Any) -> None:
    for action in (t2v.download, t2v.cancel, t2v.delete):
        with pytest.raises(InputError, match="checkpoint must be one of") as told:
            action(key)
        assert len(told.value.text) < 1000


def test_what_is_part_of_the_code_is_neither_fetched_nor_deleted(t2v: Any) -> None:
    for action in (t2v.download, t2v.cancel, t2v.delete):
        with pytest.raises(InputError, match="part of the code"):
            action(KEY)
    assert t2v.clear_loras() == 0


def test_a_zerogpu_space_downloads_nothing_ahead(t2v: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t2v, "settings", SpaceSettings(weights="wan"))
    monkeypatch.setattr(t2v, "backend", t2v.backend.model_copy(update={"gpu_size": "large"}))
    with pytest.raises(UnavailableError, match="when it starts"):
        t2v.download(KEY)


def test_a_manifest_tells_how_many_jobs_stand_in_the_engines_line(t2v: Any) -> None:
    others = [t2v.seat.line.enter() for _ in range(3)]  # of any mode of this device
    assert t2v.manifest().jobs == Jobs(running=1, waiting=2)
    request = t2v.mode.parse({"prompt": "a red circle", "checkpoint": KEY})
    job = t2v.generate(request, t2v.plan(request))
    while next(job)[1].type != "queued":
        pass
    assert t2v.manifest().jobs == Jobs(running=1, waiting=3)
    job.close()
    for other in others:
        other.leave()
    assert t2v.manifest().jobs == Jobs()
