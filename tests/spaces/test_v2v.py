"""V2V: the clip decides length and content, strength decides how much of it stays."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InputError, MediaError
from common.modes.v2v import MODE
from common.runtime.device.seat import seat_of
from common.runtime.job import Job
from common.runtime.reader import Reader
from tests.spaces import media_for_modes as media


@pytest.mark.parametrize("checkpoint", MODE.checkpoints)
def test_every_checkpoint_generates(make, tmp_path, checkpoint):
    path, events = make("v2v", checkpoint=checkpoint, video=media.clip(tmp_path / "c.mp4"))
    assert media.read(path).shape == (5, 128, 128, 3)
    steps = [e for e in events if e.type == "step"]
    assert len(steps) == int(2 * 0.7) and steps[-1].total == 1
    assert [p.role for p in events[-1].lineage.parents] == ["video"]


def test_less_strength_keeps_more_of_the_clip(make, tmp_path):
    source = media.clip(tmp_path / "c.mp4")
    values = {"video": source, "num_inference_steps": 10, "preset": "quality", "guidance_scale": 1}
    given = media.read(source["path"]).astype(float)
    far = [
        np.abs(media.read(make("v2v", strength=s, **values)[0]).astype(float) - given).mean()
        for s in (0.1, 1.0)
    ]
    assert far[0] < far[1]


def test_the_page_and_the_api_take_the_clip_s_own_length(service, tmp_path):
    engine = service("v2v")
    request = MODE.parse({"prompt": "x", "video": media.clip(tmp_path / "c.mp4", frames=12)})
    plan = engine.preflight(request, engine.plan(request), Job()).plan
    assert plan.num_frames == 9 and "video has 12 frames at 16 fps; the first 9 are used." in plan.notices


@pytest.mark.parametrize(
    ("frames", "fps", "shown"),
    [
        (6, 16, [0, 1, 2, 3, 4, 5]),
        (6, 32, [0, 2, 4]),  # every other one
        (3, 8, [0, 0, 1, 2, 2, 2]),  # rounding half to even: 0.5 -> 0, 1.5 -> 2, and no frame after the last
    ],
)
def test_resampling_takes_the_nearest_frame(tmp_path, frames, fps, shown):
    handle = MODE.parse({"prompt": "x", "video": media.clip(tmp_path / "c.mp4", frames, fps)}).video
    got = Reader().clip(handle, "video", 16, 99)
    own = Reader().clip(handle, "video", fps, 99)
    assert [int(np.argmin([np.abs(np.subtract(g, o, dtype=int)).mean() for o in own])) for g in got] == shown


def test_from_end_takes_the_last_frames(tmp_path):
    handle = MODE.parse({"prompt": "x", "video": media.clip(tmp_path / "c.mp4", 6)}).video
    whole = Reader().clip(handle, "video", 16, 99)
    tail = Reader().clip(handle, "video", 16, 2, from_end=True)
    assert len(tail) == 2 and all(np.array_equal(a, b) for a, b in zip(tail, whole[-2:], strict=True))


def test_bad_input_costs_nothing(make, tmp_path):
    seat_of("cpu").residency.unload()
    with pytest.raises(InputError, match="strength x num_inference_steps must be at least 1"):
        make("v2v", video=media.clip(tmp_path / "c.mp4"), strength=0.4)
    with pytest.raises(InputError, match="num_frames must not exceed"):
        make("v2v", video=media.clip(tmp_path / "c.mp4"), num_frames=17)
    (tmp_path / "x.mp4").write_bytes(b"no clip")
    with pytest.raises(MediaError, match="video is not a readable clip"):
        make("v2v", video={"path": str(tmp_path / "x.mp4")})
    assert seat_of("cpu").residency.key is None
