"""Preset defaults: a browser's or a person's own file, and what is broken in either is ignored with a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError, UnavailableError
from common.panels.own import NONE, ModeDefaults, PresetDefaults
from router.settings.defaults import NAME, Defaults

MINE = ModeDefaults(fast=PresetDefaults(num_inference_steps=6, guidance_scale=1.5), hybrid=True)


def test_a_browser_keeps_its_own_and_the_file_of_nobody_is_written() -> None:
    defaults = Defaults("the component")
    kept = defaults.changed({}, "i2v", MINE)
    assert defaults.of("i2v", kept) == MINE and defaults.of("t2v", kept) == NONE and defaults.of("i2v", {}) == NONE
    assert json.loads(json.dumps(kept)) == kept
    kept = defaults.changed(kept, "t2v", ModeDefaults(quality=PresetDefaults(guidance_scale=0)))
    assert defaults.modes(kept) == ["t2v", "i2v"]
    assert defaults.of("t2v", kept).values("quality") == {"guidance_scale": 0}
    assert defaults.changed(defaults.changed(kept, "t2v", NONE), "i2v", NONE) == {}


def test_a_person_s_own_outlive_the_studio_whatever_a_browser_sends(tmp_path: Path) -> None:
    assert Defaults(None, tmp_path).changed({"t2v": {"hybrid": True}}, "i2v", MINE) == {}
    again = Defaults(None, tmp_path)
    assert again.of("i2v", "anything") == MINE and again.modes(None) == ["i2v"] and not again.word(None)
    again.changed(None, "i2v", NONE)
    assert json.loads((tmp_path / NAME).read_text()) == {}


BROKEN: list[Any] = [
    [], "text", 3, True, {"t2v": 1}, {"t2v": {"fast": {"num_inference_steps": 0}}},
    {"t2v": {"fast": {"num_inference_steps": 51}}}, {"t2v": {"fast": {"num_inference_steps": True}}},
    {"t2v": {"fast": {"num_inference_steps": "a" * 100_000}}}, {"t2v": {"quality": {"guidance_scale": 11}}},
    {"t2v": {"quality": {"guidance_scale": float("nan")}}}, {"t2v": {"fast": [4]}}, {"i2v": {"hybrid": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN, ids=lambda raw: str(raw)[:30])
def test_what_is_broken_is_ignored_with_a_word_and_replaced(raw: Any, tmp_path: Path) -> None:
    browser = Defaults(None)
    assert browser.of("t2v", raw) == NONE and "is ignored; saving replaces it" in browser.word(raw)
    assert browser.of("i2v", browser.changed(raw, "i2v", MINE)) == MINE
    (tmp_path / NAME).write_text(json.dumps(raw))
    own = Defaults(None, tmp_path)
    assert own.of("t2v", None) == NONE and NAME in own.word(None)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff", '{"t2v":' + " " * 70_000 + "{}}"])
def test_a_file_that_is_none_of_ours_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    own = Defaults(None, tmp_path)
    assert own.modes(None) == [] and "cannot be read" in own.word(None)
    own.changed(None, "i2v", MINE)
    assert Defaults(None, tmp_path).of("i2v", None) == MINE


def test_a_newer_version_s_fields_and_modes_are_left_out(tmp_path: Path) -> None:
    kept = {"i2v": {"fast": {"num_inference_steps": 6, "sampler": "new"}, "more": 1}, "t2x": {"fast": {}}}
    assert Defaults(None).of("i2v", kept).values("fast") == {"num_inference_steps": 6}
    assert Defaults(None).modes(kept) == ["i2v"]


def test_a_mode_must_be_one_and_a_folder_writable(tmp_path: Path) -> None:
    for strange in (["t2v"], None, "t2x", {"t2v": 1}):
        with pytest.raises(InputError, match="mode must be one of"):
            Defaults(None).changed({}, strange, MINE)
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="could not be kept"):
        Defaults(None, tmp_path / "file").changed(None, "i2v", MINE)
