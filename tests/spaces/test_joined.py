"""A clip and what follows as one video: every frame of the clip, its very last one once, its sound, and no drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.budgets import BUDGETS, Budgets
from common.contract import MediaHandle
from common.errors import Cancelled, InputError, MediaError
from common.media.colours import Drift
from common.media.lineage import read_lineage
from common.media.sound import Sound
from common.media.watch import Watch
from common.modes import joining
from common.runtime.device.seat import seat_of
from tests.common.media.clip_files import ffmpeg, uneven
from tests.spaces import media_for_modes as media

RED = "a red circle moving right on a black background"
GREEN = "a green circle moving right on a black background"
ALIKE = 6.0
"""Levels that frames differ by at most after two more encodings, as a mean."""


def handle(path: Path) -> dict[str, str]:
    return {"path": str(path), "mime": "video/mp4"}


def counted(path: Path, *options: str, source: str = "testsrc2=size=128x128:rate=16:duration=2") -> Path:
    """Frames of another tool, no two alike."""
    ffmpeg("-f", "lavfi", "-i", source, *options, "-pix_fmt", "yuv420p", path)
    return path


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.abs(a.astype(float) - b).mean() < ALIKE


def joined(make: Any, clip: Path | dict[str, str], mode: str = "i2v", **values: Any) -> tuple[np.ndarray, Any]:
    given = clip if isinstance(clip, dict) else handle(clip)
    own = {"image": given, "image_from": "last"} if mode == "i2v" else {"video": given, "submode": "firstclip"}
    path, events = make(mode, join=True, **own, **values)
    return media.read(path), (path, events)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-bf", "3", "-g", "12"), id="b-frames"),
        pytest.param(("-bf", "0", "-g", "1"), id="key frames alone"),
        pytest.param(("-c:v", "mpeg4"), id="mpeg4"),
        pytest.param(("-frames:v", "31"), id="an odd count"),
    ],
)
def test_every_frame_of_the_clip_then_the_new_ones(make, tmp_path, options):
    clip = counted(tmp_path / "c.mp4", *options)
    before = media.read(clip)
    whole, (path, events) = joined(make, clip)
    plan = events[-1].plan
    assert len(whole) == len(before) + 4 == plan.whole_frames and plan.num_frames == 5
    assert plan.clip_seconds == round(len(whole) / 16, 3)
    assert all(alike(a, b) for a, b in zip(whole, before, strict=False))
    lineage = read_lineage(path)
    assert lineage is not None and lineage.request["join"] is True and lineage.plan.continues == plan.continues
    assert any(e.text.startswith("Colours drift where the new part begins") for e in events if e.type == "notice")
    known = events[-1].known(MediaHandle(path=str(path)))
    assert (known.frames, known.seconds, known.has_audio) == (len(whole), plan.clip_seconds, False)


def test_what_an_edit_list_hides_stays_hidden_and_the_end_is_the_end(make, tmp_path):
    whole = counted(tmp_path / "w.mp4", "-g", "32")
    ffmpeg("-ss", "0.5", "-i", whole, "-c", "copy", tmp_path / "cut.mp4")
    ffmpeg("-i", tmp_path / "cut.mp4", "-f", "image2", tmp_path / "shown-%02d.png")  # as another tool shows it
    shown = sorted(tmp_path.glob("shown-*.png"))
    made, _ = joined(make, tmp_path / "cut.mp4")
    assert len(made) == len(shown) + 4
    assert alike(made[len(shown) - 1], np.asarray(Image.open(shown[-1]).convert("RGB")))
    assert alike(made[0], np.asarray(Image.open(shown[0]).convert("RGB")))


@pytest.mark.parametrize("rate", ["24", "30000/1001", "10"])
def test_another_rate_is_resampled_and_ends_with_the_very_last_frame(make, tmp_path, rate):
    clip = counted(tmp_path / "c.mp4", source=f"testsrc2=size=128x128:rate={rate}:duration=2")
    before = media.read(clip)
    whole, (_, events) = joined(make, clip)
    kept = len(whole) - 4
    assert kept == events[-1].plan.continues.frames and abs(kept - 32) <= 1
    assert alike(whole[kept - 1], before[-1])
    assert any("image is resampled from" in e.text for e in events if e.type == "notice")


def test_a_variable_rate_ends_with_the_very_last_frame_too(make, tmp_path):
    clip = uneven(tmp_path / "v.mp4", [0, 1, 2, 9, 10, 30, 31], 16)
    before = media.read(clip)
    whole, (_, events) = joined(make, clip)
    last = events[-1].plan.continues.frames - 1
    assert abs(int(whole[last].mean()) - int(before[-1].mean())) <= 2
    assert any("scaled from 64x64 to 128x128" in e.text for e in events if e.type == "notice")


def test_vace_keeps_the_frames_that_it_was_shown(make, tmp_path):
    clip = counted(tmp_path / "c.mp4")
    before = media.read(clip)
    whole, (_, events) = joined(make, clip, "vace", num_frames=17)
    assert events[-1].plan.continues.overlap == 5
    assert len(whole) == len(before) + 12 and all(alike(a, b) for a, b in zip(whole, before, strict=False))


def test_a_clip_of_one_frame_is_a_beginning_too(make, tmp_path):
    for mode, values in (("i2v", {}), ("vace", {"num_frames": 17})):
        whole, (_, events) = joined(make, media.clip(tmp_path / "one.mp4", frames=1), mode, **values)
        assert len(whole) == events[-1].plan.num_frames == events[-1].plan.whole_frames


def test_a_chain_of_three_keeps_its_beginning_and_its_sound(make, tmp_path):
    clip = counted(
        tmp_path / "c.mp4", "-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=44100", "-c:a", "aac",
    )  # fmt: skip
    first, path = media.read(clip), clip
    for turn in range(1, 4):
        whole, (path, events) = joined(make, path)
        assert len(whole) == len(first) + 4 * turn
        assert events[-1].plan.continues.has_audio
    assert np.abs(whole[:32].astype(float) - first).mean() < 2 * ALIKE
    sound = Sound(path, "image", "x", Watch())
    assert abs(sound.seconds - 2) < 0.1 and sound.loudest > 0.05
    lineage = read_lineage(path)
    assert lineage is not None and lineage.parents[0].lineage is not None


def test_a_sound_that_cannot_be_read_is_left_out_and_said(make, tmp_path, monkeypatch):
    clip = counted(tmp_path / "c.mp4", "-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac")

    def broken(self: Any) -> Any:
        raise MediaError("image", "is not a readable sound")

    monkeypatch.setattr(Sound, "_header", broken)
    _, (_, events) = joined(make, clip)
    assert any("sound is left out" in e.text for e in events if e.type == "notice")
    assert not events[-1].plan.continues.has_audio


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"image_from": "first"}, "image_from must be last where clips are joined"),
        ({"num_frames": 1}, "num_frames must be more than the 1"),
    ],
)
def test_what_cannot_be_joined_is_told(make, tmp_path, values, text):
    with pytest.raises(InputError, match=text):
        make("i2v", **{"image": media.clip(tmp_path / "c.mp4"), "image_from": "last", "join": True, **values})


def test_no_clip_a_picture_and_a_broken_clip_cost_nothing(make, tmp_path, monkeypatch):
    seat_of("cpu").residency.unload()
    with pytest.raises(InputError, match="image is required"):
        make("i2v", join=True, image_from="last")
    with pytest.raises(InputError, match="join needs a clip as image"):
        joined(make, {**media.picture(tmp_path / "p.png"), "mime": "image/png"})
    (tmp_path / "x.mp4").write_bytes(b"no clip")
    with pytest.raises(MediaError, match="image is not a readable clip"):
        joined(make, tmp_path / "x.mp4")
    clip = counted(tmp_path / "long.mp4", "-g", "8")
    damaged = bytearray(clip.read_bytes())
    begin = damaged.index(b"mdat") + 200
    damaged[begin : begin + (len(damaged) - begin) // 2] = bytes((len(damaged) - begin) // 2)
    (tmp_path / "d.mp4").write_bytes(damaged)
    with pytest.raises(MediaError, match=r"damaged|not a readable"):
        joined(make, tmp_path / "d.mp4")
    with pytest.raises(InputError, match="fit must be crop where clips are joined"):
        joined(make, clip, "vace", num_frames=17, fit="pad")
    assert seat_of("cpu").residency.key is None


def test_a_video_that_would_become_too_long_is_refused_before_anything(make, tmp_path, monkeypatch):
    seat_of("cpu").residency.unload()
    monkeypatch.setattr(joining, "BUDGETS", Budgets(joined_seconds=2))
    with pytest.raises(InputError, match=r"join must not make a video longer than 2 s; got 2\.2 s"):
        joined(make, counted(tmp_path / "c.mp4"))
    assert seat_of("cpu").residency.key is None
    with pytest.raises(MediaError, match=f"must have at most {BUDGETS.clip_frames} frames"):
        joined(make, counted(tmp_path / "many.mp4", "-preset", "ultrafast",
                             source="color=size=16x16:rate=100:duration=100"))  # fmt: skip


def test_what_is_kept_of_a_join_that_was_stopped_is_joined_the_next_time(make, service, tmp_path, monkeypatch):
    engine, clip = service("i2v"), counted(tmp_path / "c.mp4")
    given = {"prompt": RED, "image": handle(clip), "image_from": "last", "join": True, "num_frames": 5, "seed": 3}
    request = engine.mode.parse({**given, "num_inference_steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr(type(engine), "_joined", lambda *a: (_ for _ in ()).throw(Cancelled()))
        with pytest.raises(Cancelled):
            list(engine.generate(request, engine.plan(request)))
    events = [event for _, event in engine.generate(request, engine.plan(request))]
    assert any("segments were there from before" in e.text for e in events if e.type == "notice")
    assert not [e for e in events if e.type == "step"] and events[-1].plan.whole_frames == 36


def test_a_real_chain_drifts_less_with_the_correction(make, monkeypatch):
    """Of the black behind a circle, over four extensions: bench/README.md has other scenes."""
    start, _ = make("t2v", prompt=GREEN, num_frames=17, num_inference_steps=4)
    far: dict[bool, float] = {}
    for correct in (False, True):
        with monkeypatch.context() as patch:
            if not correct:
                patch.setattr(Drift, "taken_back", lambda self, frame: frame)
            path = start
            for turn in range(4):
                values = {"prompt": GREEN, "num_frames": 17, "num_inference_steps": 4, "seed": 10 + turn}
                whole, (path, _) = joined(make, path, **values)
        strip = whole[:, :6].reshape(len(whole), -1, 3).mean(1)
        far[correct] = float(np.abs(strip[-4:].mean(0) - strip[:17].mean(0)).max())
    assert far[True] < far[False] - 1, far
