"""VACE: what goes into the pipeline, the cache of controls, and bad input that costs nothing."""

from __future__ import annotations

import time
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import watched
from common.control import makers
from common.errors import InputError, MediaError, WeightsError
from common.modes.submodes import SUBMODES
from common.runtime.device.seat import seat_of
from tests.spaces import media_for_modes as media


@pytest.fixture
def files(tmp_path):
    return {
        "video": media.clip(tmp_path / "c.mp4"),
        "mask": media.mask(tmp_path / "m.png"),
        "reference_images": [media.picture(tmp_path / "r.png")],
    }


@pytest.mark.parametrize(
    ("checkpoint", "carries"),
    [("wan2.1-vace-14b", ""), ("wan2.1-vace-1.3b", ""), ("wan2.2-vace-fun-14b", "wan2.2-vace-fun-14b")],
)
def test_every_checkpoint_inpaints_with_references(make, files, checkpoint, carries):
    path, events = make("vace", carries, checkpoint=checkpoint, **files)
    assert media.read(path).shape == (5, 128, 128, 3)  # the reference's latent frame is trimmed
    assert {p.role for p in events[-1].lineage.parents} == {"video", "mask", "reference_images"}
    assert any(e.type == "preview" for e in events)


def test_the_community_checkpoint_runs_both_experts_and_says_that_nano_has_one(make, service, files):
    key = "wan2.2-vace-fun-14b"
    vace = service("vace", key)
    plan = vace.plan(vace.mode.parse({"prompt": "x", "reference_images": [{"path": "x.png"}]}))
    pipe = vace._pipe(key, plan.placement, print)
    assert pipe.config.boundary_ratio == 0.875
    ran = []
    experts = {"high": pipe.transformer, "low": pipe.transformer_2}
    hooks = [m.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, m in experts.items()]
    _, events = make("vace", key, checkpoint=key, num_inference_steps=4, **files)
    for hook in hooks:
        hook.remove()
    # Shift 16 puts 4 steps at t = 1000, 980, 941, 842, each with and without the prompt; the boundary is 875.
    assert ran == ["high"] * 6 + ["low"] * 2
    assert (events[-1].plan.guidance_scale, events[-1].plan.guidance_scale_2) == (5.0, 5.0)
    assert any("one VACE expert" in e.text for e in events if e.type == "notice")


def test_the_control_matters(make, files, tmp_path):
    a = media.read(make("vace", video=files["video"])[0])
    b = media.read(make("vace", submode="scribble", video=files["video"])[0])
    c = media.read(make("vace", video=files["video"], conditioning_scale=0)[0])
    assert not np.array_equal(a, b) and not np.array_equal(a, c)


def prepared(engine: Any, request: Any) -> Any:
    making = engine.prepare(request, engine.plan(request))
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value


def test_prepare_shows_what_generate_uses_and_makes_it_once(service, files, monkeypatch):
    engine = service("vace")
    values = {"prompt": "x", "num_frames": 5, "submode": "inpainting_mask", **files}
    request = engine.mode.parse(values)
    shown = prepared(engine, request)
    assert (
        media.read(shown.mask.path)[0, 60, 10].min() > 250
        and media.read(shown.mask.path)[0, 60, 120].max() < 5
    )
    assert abs(int(media.read(shown.video.path)[0, 60, 10].mean()) - 128) <= 3
    assert len(shown.reference_images) == 1

    def never(*args):
        raise AssertionError("made twice")

    monkeypatch.setitem(engine.inputs.__globals__, "make", never)
    again = engine.mode.parse(values | {"prompt": "another prompt", "seed": 9, "conditioning_scale": 0.5})
    assert prepared(engine, again).video.path == shown.video.path


def test_a_long_annotation_counts_its_frames_and_stops_at_the_next(service, tmp_path, monkeypatch):
    engine, made = service("vace"), []

    def slow(material: Any) -> Any:
        for _ in watched(material.video, material.check):
            made.append(1)
            time.sleep(0.3)
        raise AssertionError("nobody stopped it")

    monkeypatch.setitem(makers.MAKERS, SUBMODES["gray"].maker, slow)
    clip = media.clip(tmp_path / "long.mp4", frames=33)
    request = engine.mode.parse({"prompt": "x", "num_frames": 33, "submode": "gray", "video": clip})
    updates, told = engine.generate(request, engine.plan(request)), []
    for _, event in updates:
        told.append(event)
        if event.type == "stage" and (event.done or 0) >= 3:
            break
    assert len(made) < 10, "it is told while it is done"
    texts = list(dict.fromkeys(e.text for e in told if e.type == "stage"))
    assert texts == [
        "Checking the media",
        "Opening the media",
        f"Making the control: {SUBMODES['gray'].label}",
    ]
    assert told[-1].total == 33 and {e.name for e in told if e.type == "stage"} == {"prepare"}
    before = len(made)
    updates.close()
    assert len(made) <= before + 1, "a frame was begun after the stop"


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"submode": "gray", "num_frames": 17}, InputError, "num_frames must not exceed"),
        ({"submode": "depth"}, WeightsError, "MiDaS DPT-Hybrid .* is not on this machine"),
        ({"mask": {"path": "/nowhere.png"}}, MediaError, "mask has no file"),
        ({"submode": "inpainting_bbox"}, InputError, "bbox is required for inpainting_bbox"),
    ],
)
def test_bad_input_costs_nothing(make, files, monkeypatch, tmp_path, values, error, text):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    seat_of("cpu").residency.unload()
    with pytest.raises(error, match=text):
        make("vace", **{"video": files["video"], **values})
    assert seat_of("cpu").residency.key is None


def test_a_mask_of_another_shape_is_refused(make, files, tmp_path):
    media.frame().resize((256, 128)).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match="mask must have the shape of the video"):
        make("vace", video=files["video"], mask={"path": str(tmp_path / "wide.png")}, width=192, height=128)


def test_what_a_hard_mask_keeps_is_the_source(make, files):
    """All but the pixels beside the mask's edge, as near as the codec comes."""
    values = {"submode": "inpainting_mask", "video": files["video"], "mask": files["mask"]}
    source = media.read(files["video"]["path"])[:, :, 68:].astype(float)
    path, events = make("vace", **values)
    assert np.abs(media.read(path)[:, :, 68:] - source).mean() < 2
    assert any("put back" in text for text in events[-1].plan.notices)
    path, events = make("vace", **values, keep_source=False)
    assert np.abs(media.read(path)[:, :, 68:] - source).mean() > 4
    assert not any("put back" in text for text in events[-1].plan.notices)


def test_a_mask_that_is_soft_or_all_white_says_what_becomes_of_it(make, files, tmp_path):
    values = {"submode": "inpainting_mask", "video": files["video"]}
    ramp = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1))
    Image.fromarray(ramp).save(tmp_path / "soft.png")
    path, events = make("vace", **values, mask={"path": str(tmp_path / "soft.png")})
    said = [e.text for e in events if e.type == "notice"]
    assert sum("mask has grays" in text for text in said) == 1
    kept = media.read(path)[:, :, :60] - media.read(files["video"]["path"])[:, :, :60].astype(float)
    assert np.abs(kept).mean() > 4
    Image.new("L", (128, 128), 255).save(tmp_path / "white.png")
    for _ in range(2):  # the second time its control comes from the cache
        _, events = make("vace", **values, mask={"path": str(tmp_path / "white.png")})
        assert any("white all over" in e.text for e in events if e.type == "notice")


def test_the_flow_of_a_clip_that_stands_still_is_empty_and_says_so(make, tmp_path):
    with av.open(str(tmp_path / "flat.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=16)
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (128, 128), "gray"))))
        out.mux(stream.encode())
    flat = {"path": str(tmp_path / "flat.mp4"), "mime": "video/mp4"}
    _, events = make("vace", submode="flow", video=flat)
    assert any("Nothing moves in video" in e.text for e in events if e.type == "notice")


def test_three_pictures_stand_at_their_frames_in_video_and_mask(service, make, tmp_path):
    engine = service("vace")
    colours = ("red", "lime", "blue")
    names = ("image", "middle_image", "last_image")
    for colour in colours:
        Image.new("RGB", (128, 128), colour).save(tmp_path / f"{colour}.png")
    given = {n: {"path": str(tmp_path / f"{c}.png")} for n, c in zip(names, colours, strict=True)}
    values = {"prompt": "x", "submode": "firstmiddlelastframe", "num_frames": 17, **given}
    for at, middle in ((None, 8), (0.25, 4)):
        shown = prepared(engine, engine.mode.parse({**values, "middle_at": at}))
        video, mask = media.read(shown.video.path), media.read(shown.mask.path)
        kept = [0, middle, 16]
        assert [i for i in range(17) if mask[i].max() < 20] == kept
        assert [int(video[i].mean(axis=(0, 1)).argmax()) for i in kept] == [0, 1, 2]
        gray = [video[i] for i in range(17) if i not in kept]
        assert max(abs(int(f.mean()) - 128) for f in gray) <= 3
    path, events = make("vace", **values, middle_at=0.25)
    assert media.read(path).shape == (17, 128, 128, 3)
    assert {p.role for p in events[-1].lineage.parents} == set(names)


def test_a_mask_with_alpha_or_inverted_means_what_it_shows(service, tmp_path):
    """White paint, dark paint, and a hole, each on the left half of a transparent layer."""
    engine, clip = service("vace"), media.clip(tmp_path / "c.mp4")
    whole = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    for name, colour in (("white", "white"), ("dark", (90, 0, 0, 255))):
        layer = whole.copy()
        layer.paste(colour, (0, 0, 64, 128))
        layer.save(tmp_path / f"{name}.png")
    Image.new("L", (128, 128), 0).save(tmp_path / "right.png")
    right = Image.new("L", (128, 128), 0)
    right.paste(255, (64, 0, 128, 128))
    right.save(tmp_path / "right.png")
    for name, more in (("white", {}), ("dark", {}), ("right", {"mask_invert": True})):
        mask = {"path": str(tmp_path / f"{name}.png")}
        values = {"prompt": "x", "num_frames": 5, "submode": "inpainting_mask", "video": clip, "mask": mask}
        shown = media.read(prepared(engine, engine.mode.parse(values | more)).mask.path)[0]
        assert shown[:, :60].min() > 235 and shown[:, 68:].max() < 20, name
