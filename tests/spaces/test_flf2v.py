"""Both FLF2V checkpoints go from one picture to another, and bad input costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InputError, MediaError
from common.media.lineage import read_lineage
from common.modes.flf2v import MODE
from common.runtime.device.seat import seat_of
from tests.spaces import media_for_modes as media


@pytest.fixture
def pictures(tmp_path):
    return {"image": media.picture(tmp_path / "a.png"), "last_image": media.picture(tmp_path / "b.png", 40)}


@pytest.mark.parametrize("preset", ["fast", "quality"])
@pytest.mark.parametrize("checkpoint", MODE.checkpoints)
def test_every_checkpoint_generates(make, pictures, checkpoint, preset):
    path, events = make("flf2v", checkpoint=checkpoint, preset=preset, **pictures)
    plan = events[-1].plan
    assert plan.checkpoint == checkpoint and len(plan.loras) == (preset == "fast")
    lineage = read_lineage(path)
    assert lineage is not None and {p.role for p in lineage.parents} == {"image", "last_image"}
    assert media.read(path).shape == (5, 128, 128, 3)


@pytest.mark.parametrize("checkpoint", MODE.checkpoints)
def test_the_last_picture_matters(make, pictures, tmp_path, checkpoint):
    other = pictures | {"last_image": media.picture(tmp_path / "c.png", 40, "white")}
    a = media.read(make("flf2v", checkpoint=checkpoint, preset="quality", **pictures)[0])
    b = media.read(make("flf2v", checkpoint=checkpoint, preset="quality", **other)[0])
    assert not np.array_equal(a[-1], b[-1])


def test_each_slot_takes_its_frame_of_a_clip(make, tmp_path):
    clip = media.clip(tmp_path / "c.mp4")
    _, events = make("flf2v", image=clip, last_image=clip, preset="quality")
    assert events[-1].lineage.request["last_image_from"] == "last"


def test_an_end_frame_of_another_shape_is_cut_and_told(make, pictures, tmp_path):
    media.frame(side=128).resize((200, 100)).save(tmp_path / "wide.png")
    wide = {"path": str(tmp_path / "wide.png")}
    _, events = make("flf2v", **pictures | {"last_image": wide}, preset="quality")
    said = [e.text for e in events if e.type == "notice"]
    assert sum("last_image is 200x100; its centre is cut out" in text for text in said) == 1


@pytest.mark.parametrize("missing", ["image", "last_image"])
def test_both_pictures_are_needed_before_anything_loads(make, pictures, missing):
    seat_of("cpu").residency.unload()
    with pytest.raises(InputError, match=f"{missing} is required"):
        make("flf2v", **{k: v for k, v in pictures.items() if k != missing})
    with pytest.raises(MediaError, match=f"{missing} has no file"):
        make("flf2v", **pictures | {missing: {"path": "/nowhere/x.png"}})
    assert seat_of("cpu").residency.key is None
