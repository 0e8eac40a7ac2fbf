"""The model-backed makers run on tiny random models of the same classes, in folders as on the Hub."""

import numpy as np
import pytest
import torch
from PIL import Image

from common.annotate import detect, keypoints, models, pose, raft
from common.annotate.depth import depth, stretched
from common.annotate.keypoints import Person
from common.annotate.makers import Material, make
from common.annotate.track import track_box, track_mask
from common.catalog import ANNOTATORS
from common.errors import InputError, WeightsError
from common.modes.submodes import SUBMODES
from common.modes.vace import MODE

W, H, N = 64, 48, 5


def clip() -> list[Image.Image]:
    made = [Image.new("RGB", (W, H)) for _ in range(N)]
    for i, frame in enumerate(made):
        frame.paste((255, 255, 255), (10 + 3 * i, 15, 30 + 3 * i, 35))
    return made


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("annotators")
    torch.manual_seed(0)
    _save_depth_anything(root / "depth-anything")
    _save_dpt(root / "dpt-hybrid")
    _save_sam2(root / "sam2")
    _save_grounding_dino(root / "grounding-dino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.FOLDER, str(root))
        yield root


def _processor(folder, side: int) -> None:
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    DPTImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)


def _save_depth_anything(folder) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 8], fusion_hidden_size=8, head_in_index=-1, head_hidden_size=4,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    _processor(folder, 28)


def _save_dpt(folder) -> None:
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32,
        patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    DPTForDepthEstimation(config).save_pretrained(folder)
    _processor(folder, 32)


def _save_sam2(folder) -> None:
    from transformers import Sam2VideoConfig, Sam2VideoModel

    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
            "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 1, 1], "global_attention_blocks": [3],
            "window_size_per_stage": [8, 4, 4, 4], "image_size": [128, 128],
            "window_positional_embedding_background_size": [7, 7],
        },
        "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": 128, "image_size": 128, "patch_size": 16, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
        image_size=128, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
    )  # fmt: skip
    Sam2VideoModel(config).save_pretrained(folder)


def _save_grounding_dino(folder) -> None:
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        SwinConfig,
    )

    backbone = SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    words = {
        w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", "dog", "red", "square"])
    }
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config={
            "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "vocab_size": len(words), "max_position_embeddings": 64,
        },
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, num_queries=10, num_feature_levels=3,
        max_text_len=16,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(vocab=words).save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)


# ---------------------------------------------------------------------- depth


@pytest.mark.parametrize("key", ["dpt-hybrid", "depth-anything"])
def test_depth_fills_the_range_of_every_frame(annotators, key: str) -> None:
    maps = depth(clip(), annotators / key, "cpu")
    assert len(maps) == N and {m.size for m in maps} == {(W, H)}
    # A random model may see nothing (a ReLU ends it): then the map is black, else it spans the range.
    assert all((np.asarray(m).min(), np.asarray(m).max()) in ((0, 0), (0, 255)) for m in maps)


def test_near_is_white() -> None:
    # Both families predict nearness: 1, 3, 5 become 0, 127, 255.
    made = np.asarray(stretched(np.array([[1.0, 3.0, 5.0]])))[..., 0]
    assert made.tolist() == [[0, 127, 255]]


# ---------------------------------------------------------------------- tracking


def test_tracking_from_a_mask_and_a_box_gives_a_hard_mask_a_frame(annotators) -> None:
    start = Image.new("RGB", (W, H))
    start.paste((255, 255, 255), (10, 15, 30, 35))
    for found in (
        track_mask(clip(), start, annotators / "sam2", "cpu"),
        track_box(clip(), (10, 15, 30, 35), annotators / "sam2", "cpu"),
    ):
        assert len(found) == N and {m.size for m in found} == {(W, H)}
        assert {v for m in found for v in np.unique(np.asarray(m))} <= {0, 255}


def test_the_first_tracked_mask_is_the_given_one(annotators) -> None:
    # SAM 2 answers a mask prompt with the mask itself, whatever its weights.
    start = Image.new("RGB", (W, H))
    start.paste((255, 255, 255), (10, 15, 30, 35))
    first = np.asarray(track_mask(clip(), start, annotators / "sam2", "cpu")[0])[..., 0] > 0
    given = np.asarray(start)[..., 0] > 0
    assert (first & given).sum() / (first | given).sum() > 0.7


# ---------------------------------------------------------------------- words


def test_words_find_a_box_inside_the_frame(annotators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 0.0)
    left, top, right, bottom = detect.find_box(
        clip()[0], "Dog", annotators / "grounding-dino", "cpu", "label"
    )
    assert 0 <= left < right <= W and 0 <= top < bottom <= H


def test_words_that_find_nothing_are_an_input_error(annotators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 1.1)
    with pytest.raises(InputError, match="label names nothing that was found in the first frame; got 'dog'"):
        detect.find_box(clip()[0], "dog", annotators / "grounding-dino", "cpu", "label")


def test_query_is_lower_case_with_a_full_stop() -> None:
    assert detect.query(" The Dog ") == "the dog."


# ---------------------------------------------------------------------- pose


class FakeSession:
    """An onnx session that answers with prepared arrays."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = answers
        self.seen: list[np.ndarray] = []

    def get_inputs(self):
        return [type("Input", (), {"name": "input"})]

    def run(self, outputs, feeds):
        self.seen.append(feeds["input"])
        return list(self.answers)


def test_yolox_rows_become_boxes_of_the_picture() -> None:
    # Row 81 is cell (1, 1) of the 80x80 grid at stride 8. Offsets of 0.5 put the centre at (12, 12); log
    # sizes of ln 2 make it 16 wide and high; a picture scaled by 0.5 doubles everything.
    rows = np.zeros((8400, 85), np.float32)
    rows[81, :6] = [0.5, 0.5, np.log(2), np.log(2), 0.9, 0.9]
    boxes = keypoints.boxes_of_people(rows, 0.5)
    assert boxes.round(3).tolist() == [[8, 8, 40, 40]]


def test_points_are_read_from_simcc_and_put_back_into_the_picture() -> None:
    # A box of 240x320 is 300x400 with its padding, in the model's 3:4, so 288x384 shrinks it by 0.96.
    x, y = np.zeros((1, 133, 576), np.float32), np.zeros((1, 133, 768), np.float32)
    x[..., 288], y[..., 384] = 0.8, 0.6  # bins are half pixels: (144, 192), the middle of the crop
    person = keypoints.posed(
        FakeSession(x, y), np.zeros((480, 640, 3), np.uint8), np.array([100, 50, 340, 370])
    )
    assert person.points[0].round(3).tolist() == [220, 210]  # the middle of the box
    assert person.scores[0] == pytest.approx(0.6)


def test_skeleton_has_red_and_blue_swapped() -> None:
    # OpenPose's first limb, neck to right shoulder, is (255, 0, 0); here it is (0, 0, 255) * 0.6.
    points = np.zeros((133, 2), np.float32)
    scores = np.zeros(133, np.float32)
    points[5], points[6] = (96, 32), (32, 32)  # shoulders; the neck is between them
    scores[5] = scores[6] = 1
    drawn = np.asarray(pose.drawn([Person(points, scores)], (1024, 1024), face=True))
    assert drawn[32, 48].tolist() == [0, 0, 153]
    assert drawn[32, 80].tolist() == [0, 51, 153]  # the second limb: (255, 85, 0) swapped, * 0.6
    assert drawn[32, 32].tolist() == [0, 170, 255]  # joint 2: (255, 170, 0) swapped
    assert drawn[500, 500].tolist() == [0, 0, 0]


def test_face_points_are_drawn_only_when_asked_and_hands_never() -> None:
    points = np.full((133, 2), 100, np.float32)
    scores = np.zeros(133, np.float32)
    scores[23:] = 1  # face and hands
    points[91:] = 400
    person = Person(points, scores)
    assert np.asarray(pose.drawn([person], (1024, 1024), face=True))[100, 100].tolist() == [255, 255, 255]
    assert np.asarray(pose.drawn([person], (1024, 1024), face=True))[400, 400].tolist() == [0, 0, 0]
    assert not np.asarray(pose.drawn([person], (1024, 1024), face=False)).any()


# ---------------------------------------------------------------------- raft


def test_raft_flow_pads_to_eight_and_cuts_back() -> None:
    class Right(torch.nn.Module):
        def forward(self, a, b):
            assert a.shape[-1] % 8 == 0 and a.shape[-2] % 8 == 0
            return [torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, *a.shape[-2:])]

    frame = torch.zeros(1, 3, 45, 61)
    flow = raft._pair(Right(), frame, frame)
    assert flow.shape == (45, 61, 2) and flow[0, 0].tolist() == [2, 0]


def test_raft_itself_runs_on_random_weights(tmp_path) -> None:
    optical_flow = pytest.importorskip("torchvision.models.optical_flow")
    torch.save(optical_flow.raft_large().state_dict(), tmp_path / "raft_large_random.pth")
    small = [f.resize((128, 128)) for f in clip()[:2]]
    maps = raft.raft_flow(small, tmp_path, "cpu")
    assert len(maps) == 2 and maps[0].size == (128, 128)


# ---------------------------------------------------------------------- whole sub-modes


@pytest.mark.parametrize(
    "submode",
    ["depth", "depth_anything", "inpainting_masktrack", "inpainting_bboxtrack", "inpainting_label",
     "inpainting_caption", "layout_track"],
)  # fmt: skip
def test_submodes_run_with_tiny_models(annotators, submode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 0.0)
    values = {
        "prompt": "x",
        "submode": submode,
        "bbox": [0.1, 0.1, 0.5, 0.5],
        "label": "dog",
        "caption": "red dog",
    }
    mask = Image.new("RGB", (W, H))
    mask.paste((255, 255, 255), (10, 15, 30, 35))
    made = make(Material(MODE.parse(values), SUBMODES[submode], W, H, N, video=clip(), mask=[mask]))
    assert len(made.video) == len(made.mask) == N


def test_a_broken_folder_is_a_weights_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "depth-anything").mkdir()
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        depth(clip(), models.find("depth-anything", download=False), "cpu")


def test_every_annotator_says_size_and_licence() -> None:
    assert all(a.megabytes > 0 and a.licence for a in ANNOTATORS.values())
