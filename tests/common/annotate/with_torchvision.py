"""What needs torchvision: test_torchvision.py runs this file with pytest, in a process of its own.

PyPI's torchvision for Linux is built for CUDA: beside a CPU torch its operators do not load, and then neither it
nor any image processor of transformers can be imported. Nothing here calls them, so declaring two is enough.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

if sys.platform == "linux" and torch.version.cuda is None:
    OPERATORS = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision.models.optical_flow import Raft_Large_Weights, raft_large  # pyright: ignore

from common.annotate.flow import flow_maps
from common.annotate.raft import raft_flow
from common.annotate.track import track_box, track_mask, track_points
from tests.common.annotate import tiny_models

SIDE = 128


def clip(count: int, width: int, height: int) -> list[Image.Image]:
    """Coarse noise, so that every pixel tells how it was resized and normalised."""
    noise = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3), np.uint8)
    return [Image.fromarray(f).resize((width, height)) for f in noise]


def test_raft_is_fed_as_torchvision_feeds_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = raft_large().eval()
    torch.save(model.state_dict(), tmp_path / "raft_large_random.pth")
    frames = clip(3, 136, 128)  # sizes that need no padding
    pixels = [torch.from_numpy(np.array(f)).permute(2, 0, 1)[None] for f in frames]
    normalise = Raft_Large_Weights.C_T_SKHT_V2.transforms()
    with torch.inference_mode():
        flows = [model(*normalise(a, b))[-1][0] for a, b in itertools.pairwise(pixels)]
    wanted = flow_maps([f.permute(1, 2, 0).numpy() for f in flows], frames[0].size)
    made = raft_flow(frames, tmp_path, "cpu")
    assert len(made) == 3 and made[0].size == (136, 128)
    far = [np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() for a, b in zip(made, wanted, strict=True)]
    assert max(far) <= 2


def test_sam2_follows_as_with_its_own_processor(tmp_path: Path) -> None:
    model, processor = sam2(tmp_path)
    frames, box = clip(3, 192, 96), (10, 15, 60, 55)
    mask = Image.new("RGB", (192, 96))
    mask.paste((255, 255, 255), box)

    def reference(**prompt: Any) -> list[np.ndarray]:
        session = processor.init_video_session(video=[frames])
        processor.add_inputs_to_inference_session(session, 0, 1, **prompt)
        return followed(model, processor, session)

    for made, wanted in (
        (track_box(frames, box, tmp_path, "cpu"), reference(input_boxes=[[list(box)]])),
        (track_mask(frames, mask, tmp_path, "cpu"), reference(input_masks=np.asarray(mask)[..., 0] > 0)),
    ):
        assert_same(made, wanted)


def test_sam2_follows_points_of_several_frames_as_with_its_own_processor(tmp_path: Path) -> None:
    model, processor = sam2(tmp_path)
    frames = clip(5, 192, 96)
    points = {1: [[20, 30], [50, 40]], 3: [[100, 60]]}
    session = processor.init_video_session(video=[frames])
    for number, clicks in points.items():
        processor.add_inputs_to_inference_session(
            session, number, 1, input_points=[[clicks]], input_labels=[[[1] * len(clicks)]]
        )
        with torch.inference_mode():
            model(session, frame_idx=number)
    wanted = followed(model, processor, session, start=1)
    assert_same(track_points(frames, points, tmp_path, "cpu"), wanted)


def sam2(folder: Path) -> tuple[Any, Any]:
    """A tiny model, and the processor that we do without."""
    from transformers import Sam2VideoModel, Sam2VideoProcessor
    from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor
    from transformers.models.sam2_video.video_processing_sam2_video import Sam2VideoVideoProcessor

    torch.manual_seed(0)
    tiny_models.save_sam2(folder)
    model = Sam2VideoModel.from_pretrained(folder).eval()
    side = {"height": SIDE, "width": SIDE}
    processor = Sam2VideoProcessor(
        Sam2ImageProcessor(size=side), Sam2VideoVideoProcessor(size=side), target_size=SIDE
    )
    return model, processor


def followed(model: Any, processor: Any, session: Any, start: int = 0) -> list[np.ndarray]:
    found = {}
    with torch.inference_mode():
        for backwards in (False, True):
            for output in model.propagate_in_video_iterator(
                session, start_frame_idx=start, reverse=backwards
            ):
                masks = processor.post_process_masks([output.pred_masks], [[96, 192]])
                found[output.frame_idx] = masks[0][0, 0].numpy()
    return [found[i] for i in sorted(found)]


def assert_same(made: list[Image.Image], wanted: list[np.ndarray]) -> None:
    ours = [np.asarray(m)[..., 0] > 0 for m in made]
    assert len(ours) == len(wanted)
    assert min((a == b).mean() for a, b in zip(ours, wanted, strict=True)) > 0.999
    assert any(w.any() and not w.all() for w in wanted)  # else equal masks would say nothing
