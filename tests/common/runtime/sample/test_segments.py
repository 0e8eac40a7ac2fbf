"""Segments one by one are the pipeline's own loop; what is kept of them is whole or not there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.runtime.sample.going_on import going_on
from common.runtime.sample.segments import Kept, own_frames
from tests.common.runtime.sample.tiny_animate import pipeline

SIZE, LENGTH = 64, 13


def moving(count: int, side: int = SIZE) -> list[Image.Image]:
    column = np.arange(side)[None, :, None] * 5
    return [
        Image.fromarray(((column + 23 * n) % 256 * np.ones((side, side, 3))).astype(np.uint8))
        for n in range(count)
    ]


def run(frames: list[Image.Image], carried: int, generator: torch.Generator, mode: str) -> np.ndarray:
    scene = {"background_video": frames, "mask_video": [f.convert("L") for f in frames]}
    embeds = torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(5))
    output = pipeline()(
        image=moving(3)[2], pose_video=frames, face_video=frames, prompt_embeds=embeds, mode=mode,
        height=SIZE, width=SIZE, segment_frame_length=LENGTH, prev_segment_conditioning_frames=carried,
        num_inference_steps=2, guidance_scale=1.0, generator=generator, output_type="np",
        **(scene if mode == "replace" else {}),
    )  # fmt: skip
    return output.frames[0]


@pytest.mark.parametrize("mode", ["animate", "replace"])
@pytest.mark.parametrize("carried", [1, 5])
def test_segments_by_themselves_are_the_pipeline_s_own_loop(carried: int, mode: str) -> None:
    count = 18
    frames = moving(count)
    whole = run(frames, carried, torch.Generator().manual_seed(1), mode)
    generator, parts, tail = torch.Generator().manual_seed(1), [], None
    for index in range(-(-(count - carried) // (LENGTH - carried))):
        mine = [frames[n] for n in own_frames(index, count, LENGTH, carried)]
        with going_on(pipeline(), tail):
            made = run(mine, carried, generator, mode)
        tail = made[-carried:] * 255  # not rounded here, as the pipeline does not
        parts.append(made if index == 0 else made[carried:])
    joined = np.concatenate(parts)[:count]
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-4
    mine = [frames[n] for n in own_frames(1, count, LENGTH, carried)]
    alone = run(mine, carried, torch.Generator().manual_seed(1), mode)
    assert np.abs(alone[carried:][: count - LENGTH] - whole[LENGTH:]).max() > 0.01, "the tail must matter"


def test_frames_beyond_the_end_go_back_and_forth_as_the_pipeline_has_them() -> None:
    padded = pipeline().pad_video_frames([0, 1, 2, 3, 4], 25)
    assert [own_frames(0, 5, 25, 1)] == [padded]
    assert own_frames(2, 200, 77, 1) == [*range(152, 200), *range(198, 169, -1)]
    assert own_frames(0, 1, 3, 0) == [0, 0, 0]


def other_shape(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((5, 2, 2, 3), np.uint8))


def zipped(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, np.zeros(3))


HARMS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:150]),
    "zeroed": lambda path: path.write_bytes(path.read_bytes()[:-48] + bytes(48)),
    "empty": lambda path: path.write_bytes(b""),
    "another shape": other_shape,
    "a zip": zipped,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_kept_segment_is_whole_or_not_there(tmp_path: Path, harm) -> None:
    kept, frames = Kept(tmp_path / "job", 3), np.arange(1, 241, dtype=np.uint8).reshape(5, 4, 4, 3)
    assert not kept.has(0) and kept.read(0) is None
    kept.write(0, frames)
    assert kept.has(0) and not kept.has(1)
    np.testing.assert_array_equal(kept.read(0), frames)
    (path,) = (tmp_path / "job").iterdir()
    harm(path)
    assert not kept.has(0) and kept.read(0) is None
    kept.write(0, frames)
    assert kept.has(0)
    kept.clear()
    assert not kept.has(0)
