"""VACE: every sub-mode of the facts, what each needs, and each silent failure as one clear line."""

import pytest

from common.catalog import ANNOTATORS
from common.contract import Backend
from common.errors import InputError
from common.modes.submodes import MASK_SOURCES, SUBMODES
from common.modes.vace import MODE, Request, kept_frames, masked_frame, middle_frame, submode_of

CLIP = {"path": "a.mp4", "mime": "video/mp4", "frames": 81, "fps": 16}
PICTURE = {"path": "a.png"}
EVERYTHING = {
    "video": CLIP, "last_video": CLIP, "mask": PICTURE, "image": PICTURE, "last_image": PICTURE,
    "reference_images": [PICTURE], "bbox": "0.1,0.1,0.4,0.4", "bbox_to": "0.5,0.5,0.9,0.9",
    "middle_image": PICTURE, "label": "dog", "caption": "the dog on the left",
}  # fmt: skip


def plan(weights: str = "wan", allowed=None, **values):
    return MODE.plan(MODE.parse({"prompt": "x", **values}), Backend(), weights=weights, allowed=allowed)


def test_the_table_of_the_facts_is_complete() -> None:
    # facts/upstream.md, row by row.
    assert set(SUBMODES) == {
        "plain", "depth", "depth_anything", "flow", "flow_raft", "gray", "pose", "pose_body", "scribble",
        "layout_bbox", "layout_track",
        "firstframe", "lastframe", "firstclip", "lastclip", "firstlastframe", "firstlastclip", "framerefext",
        "firstmiddlelastframe",  # ours: three pictures
        "inpainting_mask", "inpainting_bbox", "inpainting_masktrack", "inpainting_bboxtrack",
        "inpainting_label", "inpainting_caption", "inpainting_salient",
        "outpainting", "outpainting_inner", "image_reference", "face",
        "reference_anything", "animate_anything", "swap_anything", "expand_anything", "move_anything",
    }  # fmt: skip


def test_every_row_names_real_fields_and_annotators() -> None:
    for row in SUBMODES.values():
        assert set(row.fields()) <= set(Request.model_fields), row.key
        assert set(row.mask_sources) <= set(MASK_SOURCES), row.key
        assert set(row.models()) <= set(ANNOTATORS), row.key


def test_defaults_are_those_of_the_facts() -> None:
    p = plan(video=CLIP, preset="quality")
    assert (p.checkpoint, p.num_inference_steps, p.guidance_scale, p.flow_shift, p.fps) == (
        "wan2.1-vace-14b", 30, 5.0, 16.0, 16,
    )  # fmt: skip
    assert p.values["conditioning_scale"] == 1.0


def test_fast_falls_back_to_quality_and_says_so() -> None:
    p = plan(video=CLIP, preset="fast")
    assert p.preset == "quality" and p.notices[0].startswith("Lightning unavailable for Wan 2.1 VACE-14B")


@pytest.mark.parametrize(
    ("given", "submode"),
    [
        ({"video": CLIP}, "plain"),
        ({"video": CLIP, "mask": PICTURE}, "inpainting_mask"),
        ({"reference_images": [PICTURE]}, "reference_anything"),
    ],
)
def test_without_submode_the_inputs_decide(given: dict, submode: str) -> None:
    request = MODE.parse({"prompt": "x", **given})
    assert isinstance(request, Request)
    assert submode_of(request).key == submode


@pytest.mark.parametrize("row", SUBMODES.values(), ids=lambda r: r.key)
def test_every_submode_plans_with_its_inputs_and_names_each_missing_one(row) -> None:
    fields = (*row.needs, *(row.source(None).needs if row.mask_sources else ()))
    given = {name: EVERYTHING[name] for name in fields}
    assert plan(submode=row.key, **given).num_frames == 81
    for name in fields:
        with pytest.raises(InputError, match=f"^{name} is required for {row.key}; "):
            plan(submode=row.key, **{n: v for n, v in given.items() if n != name})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "video or reference_images or a submode is required"),
        ({"submode": "dept", "video": CLIP}, "submode must be a VACE sub-mode; got 'dept', try plain, depth"),
        ({"mask": PICTURE}, "mask needs a video that it lies on"),
        ({"reference_images": [PICTURE] * 4}, "reference_images takes at most 3 pictures; got 4"),
        (
            {"reference_images": [PICTURE] * 2, "num_frames": 1},
            "reference_images must not outnumber the 1 latent frames of 1 frames; got 2, try num_frames 5 or more",
        ),
        ({"video": {**CLIP, "frames": 33}, "num_frames": 81}, "num_frames must not exceed what video has"),
        ({"video": CLIP, "conditioning_scale": 3}, "conditioning_scale must be between 0 and 2; got 3"),
        (
            {"submode": "inpainting_bbox", "video": CLIP, "bbox": "0.5,0.1,0.2,0.4"},
            "bbox must be left, top, right, bottom as shares of the frame",
        ),
        ({"submode": "inpainting_bbox", "video": CLIP, "bbox": "10,10,50,50"}, "try 0.2,0.2,0.6,0.6"),
        (
            {
                "submode": "swap_anything",
                "video": CLIP,
                "reference_images": [PICTURE],
                "mask_source": "magic",
            },
            "mask_source must be one that swap_anything offers; got 'magic', try mask, bbox, masktrack",
        ),
        ({"submode": "firstclip", "video": CLIP, "keep_frames": 81}, "keep_frames must leave frames to make"),
        ({"submode": "firstframe", "image": PICTURE, "num_frames": 1}, "num_frames must be at least 5"),
        (
            {"submode": "framerefext", "video": CLIP, "keyframes": "0,90"},
            "keyframes must be between 0 and 80",
        ),
        ({"video": CLIP, "width": 832, "height": 472}, "height must be a multiple of 16"),
        ({"video": CLIP, "num_frames": 16}, "num_frames must be 4k+1"),
        ({"video": CLIP, "checkpoint": "wan2.2-vace-fun-14b"}, "checkpoint must be one that vace runs"),
    ],
)
def test_bad_input_names_input_rule_and_way_out(values: dict, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**values)
    assert text in str(error.value)


def test_numbers_may_be_typed_as_text() -> None:
    request = MODE.parse({"prompt": "x", "bbox": "0.1, 0.2,0.3 0.4", "keyframes": "0,8,16", "bbox_to": ""})
    assert isinstance(request, Request)
    assert (
        request.bbox == [0.1, 0.2, 0.3, 0.4] and request.keyframes == [0, 8, 16] and request.bbox_to is None
    )


def test_the_community_checkpoint_is_there_where_it_is_named() -> None:
    assert [r.key for r in MODE.rows()] == ["wan2.1-vace-14b", "wan2.1-vace-1.3b"]
    p = plan(video=CLIP, allowed=["wan2.2-vace-fun-14b"])
    assert (p.checkpoint, p.guidance_scale_2) == ("wan2.2-vace-fun-14b", 5.0)


def test_an_extension_keeps_about_a_quarter_as_4k_plus_1() -> None:
    request = MODE.parse({"prompt": "x"})
    assert isinstance(request, Request)
    assert [kept_frames(request, n) for n in (5, 17, 81, 121)] == [1, 5, 17, 29]


def test_inputs_that_a_submode_does_not_read_are_named() -> None:
    notices = plan(submode="gray", video=CLIP, bbox="0.1,0.1,0.2,0.2", label="dog").notices
    assert "Gray does not use bbox, label." in notices
    assert "Gray does not use image_from." in plan(submode="gray", video=CLIP, image_from="last").notices
    assert not [n for n in plan(submode="gray", video=CLIP).notices if "does not use" in n]


def test_a_submode_with_models_says_which_and_how_large() -> None:
    notices = plan(submode="inpainting_label", video=CLIP, label="dog").notices
    assert any("Grounding DINO" in n and "690 MB" in n and "SAM 2.1" in n for n in notices)


def test_a_longer_clip_is_cut_with_a_notice() -> None:
    p = plan(submode="gray", video={**CLIP, "frames": 200})
    assert p.num_frames == 81 and "video has 200 frames at 16 fps; the first 81 are used." in p.notices


def test_only_what_is_cropped_is_called_cropped() -> None:
    wide = {"path": "a.mp4", "mime": "video/mp4", "width": 1280, "height": 400}

    def cut(**values) -> bool:
        return any("video is 1280x400; its centre is cut out" in text for text in plan(**values).notices)

    assert cut(submode="gray", video=wide)
    assert not cut(submode="gray", video=wide, fit="pad") and not cut(submode="outpainting", video=wide)


def test_a_middle_picture_stands_between_the_other_two() -> None:
    three = {"submode": "firstmiddlelastframe", "image": PICTURE, "middle_image": PICTURE, "last_image": PICTURE}
    request = MODE.parse({"prompt": "x", **three})
    assert [middle_frame(request.model_copy(update={"middle_at": at}), 81, 16) for at in (None, 0.0625, 4.9)] == [
        40, 1, 78,
    ]  # fmt: skip
    for at in (0, 0.01, 5, 5.1, 86_400):
        with pytest.raises(InputError, match=r"middle_at must lie between .* try 2\.50"):
            plan(**three, middle_at=at)
    with pytest.raises(InputError, match="middle_image is required for firstmiddlelastframe"):
        plan(**{**three, "middle_image": None})


def test_a_tracked_mask_says_which_frame_it_lies_on() -> None:
    given = {"submode": "inpainting_masktrack", "video": CLIP, "mask": PICTURE}
    assert [masked_frame(at, 81, 16) for at in ("first", "last", 0.0, 0.0624, 1.25)] == [0, 80, 0, 1, 20]
    with pytest.raises(InputError, match=r"mask_from must lie within the 5\.06 s .* got 5\.1 s"):
        plan(**given, mask_from=5.1)
    assert not any("mask_from" in text for text in plan(**given, mask_from=1.0).notices)
    assert any("mask_from counts" in t for t in plan(submode="inpainting_mask", video=CLIP, mask=PICTURE,
                                                     mask_from=1.0).notices)  # fmt: skip
