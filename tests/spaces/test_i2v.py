"""Every I2V checkpoint starts from the picture that it is given: a file, or a frame of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError, MediaError
from common.media.lineage import read_lineage
from common.modes.i2v import MODE
from common.runtime.device.seat import seat_of


@pytest.fixture
def picture(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "in.png"
    image = Image.new("RGB", (160, 160), "black")
    image.paste("red", (40, 40, 120, 120))
    image.save(path)
    return {"path": str(path), "orig_name": "holiday.png"}


@pytest.mark.parametrize("checkpoint", MODE.checkpoints)
def test_every_checkpoint_generates(make, picture, checkpoint):
    path, events = make("i2v", checkpoint=checkpoint, image=picture)
    lineage = read_lineage(path)
    assert lineage is not None and events[-1].plan.checkpoint == checkpoint
    assert [(p.role, p.mode) for p in lineage.parents] == [("image", None)]
    raw = path.read_bytes()
    assert b"holiday" not in raw and str(Path(picture["path"]).parent).encode() not in raw


@pytest.mark.parametrize("checkpoint", ["wan2.1-i2v-14b-480p", "wan2.2-i2v-a14b"])
def test_lora_of_both_kinds_of_checkpoint(make, picture, checkpoint):
    plain = make("i2v", checkpoint=checkpoint, image=picture, num_frames=1, preset="quality")
    fast = make("i2v", checkpoint=checkpoint, image=picture, num_frames=1, preset="fast")
    assert plain[1][-1].plan.loras == [] and len(fast[1][-1].plan.loras) == 1


def test_the_picture_matters(make, picture, tmp_path):
    other = tmp_path / "other.png"
    Image.new("RGB", (128, 128), "white").save(other)
    values = {"checkpoint": "wan2.1-i2v-14b-480p", "num_frames": 1}
    a = _first(make("i2v", image=picture, **values)[0])
    b = _first(make("i2v", image={"path": str(other)}, **values)[0])
    assert not np.array_equal(a, b)


def test_a_clip_of_ours_can_be_the_first_frame_and_becomes_a_parent(make, picture):
    clip, events = make("i2v", image=picture)
    values = {"image": {"path": str(clip), "mime": "video/mp4"}, "image_from": "last", "num_frames": 1}
    path, _ = make("i2v", **values)
    lineage = read_lineage(path)
    assert lineage is not None
    assert [(p.sha256, p.mode) for p in lineage.parents] == [(events[-1].sha256, "i2v")]
    assert lineage.request["image_from"] == "last"


def test_a_cut_is_told(make, tmp_path):
    wide = tmp_path / "wide.png"
    Image.new("RGB", (300, 100)).save(wide)
    _, events = make("i2v", image={"path": str(wide)}, num_frames=1)
    assert any("centre is cut out for 128x128" in e.text for e in events if e.type == "notice")


@pytest.mark.parametrize("name", ["missing", "corrupt", "bomb"])
def test_bad_pictures_cost_nothing(make, tmp_path, name):
    seat_of("cpu").residency.unload()
    path = tmp_path / "x.png"
    if name == "corrupt":
        path.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    if name == "bomb":
        Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(MediaError, match=r"^image "):
        make("i2v", image={"path": str(path)})
    assert seat_of("cpu").residency.key is None


def test_an_image_is_required_and_a_last_image_unknown(make, picture):
    with pytest.raises(InputError, match="image is required"):
        make("i2v")
    with pytest.raises(InputError, match="last_image is not an input"):
        make("i2v", image=picture, last_image=picture)


def _first(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def loaded(service, checkpoint):
    given = {"prompt": "x", "checkpoint": checkpoint}
    if service.mode.slots:
        given["image"] = {"path": "x.png"}
    plan = service.plan(service.mode.parse(given))
    return service._pipe(checkpoint, plan.placement, print)


def test_residency_swapping_modes_keeps_text_encoder_and_vae(service):
    t2v, i2v = service("t2v"), service("i2v")
    first = loaded(t2v, "wan2.1-t2v-14b")
    kept = {name: id(getattr(first, name)) for name in ("text_encoder", "vae", "tokenizer")}
    scheduler = first.scheduler
    del first
    second = loaded(i2v, "wan2.1-i2v-14b-480p")
    assert {name: id(getattr(second, name)) for name in kept} == kept
    assert second.scheduler is not scheduler
    assert i2v.manifest().loaded == ["wan2.1-i2v-14b-480p"] and t2v.manifest().loaded == []
