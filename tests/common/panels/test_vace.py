"""What VACE's panel says of a sub-mode before Generate, and what its boxes are drawn on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.modes.submodes import MASK_SOURCES, SUBMODES
from common.panels import vace

HAND_DRAWN = {key for key, row in SUBMODES.items() if "bbox" in vace._visible(row)} | {
    key
    for key, row in SUBMODES.items()
    if any("bbox" in MASK_SOURCES[source].needs for source in row.mask_sources)
}


@pytest.mark.parametrize("key", ["image_reference", "face", "reference_anything", "swap_anything"])
def test_references_that_are_required_are_called_so(key: str) -> None:
    assert vace._references_label(SUBMODES[key]) == "Reference images (1 to 3)"


def test_references_that_are_not_required_may_be_none() -> None:
    assert vace._references_label(SUBMODES["gray"]) == "Reference images (0 to 3)"
    labels = [u["label"] for u in vace._reshape("face", None, "nano") if isinstance(u, dict) and "label" in u]
    assert labels == ["Reference images (1 to 3)"]


def test_a_missing_model_is_told_where_the_submode_is_chosen() -> None:
    for key, source, name in (("depth", None, "MiDaS"), ("swap_anything", "label", "Grounding DINO")):
        about = vace._reshape(key, source, "nano")[0]
        assert name in about and "--weights wan" in about
        assert "--weights wan" not in vace._reshape(key, source, "wan")[0]
    assert "--weights wan" not in vace._reshape("gray", None, "nano")[0]
    assert "--weights wan" not in vace._reshape("swap_anything", "bbox", "nano")[0]


def test_a_box_is_drawn_on_what_it_is_a_share_of() -> None:
    assert vace._drawn_on(SUBMODES["inpainting_bbox"]) == ("#vace-source video", True)
    assert vace._drawn_on(SUBMODES["layout_bbox"]) == ("", True)
    assert vace._drawn_on(SUBMODES["face"]) == ("#vace-references .thumbnail-item img", False)
    assert "picture img" in vace._drawn_on(SUBMODES["move_anything"])[0]


@pytest.mark.parametrize("key", sorted(HAND_DRAWN))
def test_what_a_box_is_drawn_on_is_there(key: str) -> None:
    row = SUBMODES[key]
    selector, _ = vace._drawn_on(row)
    slots = {"": None, "#vace-source": "video", "#vace-references": "reference_images"}
    wanted = slots.get(selector.split(" ")[0], "image")
    assert wanted is None or wanted in row.needs


def test_the_page_has_the_scripts_that_it_calls() -> None:
    root = Path(vace.__file__).parents[1]
    called = {
        name for f in root.glob("panels/*.py") for name in re.findall(r"wanClips\.(\w+)", f.read_text())
    }
    (given,) = re.findall(r"window\.wanClips = \{(.*)\};", (root / "page" / "clips.js").read_text())
    assert called == set(given.split(", "))
