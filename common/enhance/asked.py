"""What is asked of Enhance and what it answers, and which parts of a scene a mode leaves to the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from common.catalog import CHECKPOINTS, MAX_PROMPT_TOKENS, Weights
from common.contract import ModeKey
from common.modes.base import estimate_tokens

Axis = Literal["motion", "camera", "light", "style"]
"""What a prompt can say beside its subject, in the order in which it is added."""
Language = Literal["en", "zh"]

CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
MAX_CHARACTERS = 2000
"""A longer prompt is left alone: it says enough, and a model is paid by the word."""
MAX_WORDS = 100
"""A finished prompt has no more; upstream's own extension asks for 80 to 100."""

_AXES: Mapping[ModeKey, tuple[Axis, ...]] = {
    "t2v": ("motion", "camera", "light", "style"),
    "i2v": ("motion", "camera"),  # the picture shows the rest
    "flf2v": ("motion", "camera"),
    "v2v": ("light", "style"),  # shapes and motion are the clip's
    "vace": ("motion", "camera", "light", "style"),
    "s2v": ("motion", "camera"),
    "animate": ("motion", "light"),
}
FAMILIES: Mapping[str, tuple[Axis, ...]] = {
    "Control": ("light", "style"),
    "Inpaint": ("light", "style"),
    "Outpaint": ("light", "style"),
    "Extend": ("motion", "camera"),
    "Reference": ("motion", "camera", "light", "style"),
    "Layout": ("camera", "light", "style"),
    "Composite": ("light", "style"),
}
"""VACE's sub-modes by family. Said here, since other modes' bundles have none of VACE's files."""


@dataclass(frozen=True)
class Ask:
    """A prompt to complete, and what it is for. `still` is a video of one frame; `family` is VACE's."""

    prompt: str
    mode: ModeKey
    weights: Weights = "nano"
    checkpoint: str = ""
    still: bool = False
    family: str = ""

    @property
    def language(self) -> Language:
        """Chinese for a checkpoint that was trained on it, and for a prompt that is in Chinese already."""
        row = CHECKPOINTS.get(self.checkpoint)
        chinese = self.weights == "wan" and row is not None and row.kind == "flf2v"
        return "zh" if chinese or mostly_chinese(self.prompt) else "en"

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What the prompt is the one to say; a still does not move."""
        axes = FAMILIES.get(self.family, _AXES["vace"]) if self.mode == "vace" else _AXES[self.mode]
        return tuple(axis for axis in axes if axis != "motion" or not self.still)


@dataclass(frozen=True)
class Enhanced:
    """A completed prompt (the same where nothing was missing), who wrote it, and what there is to say of that."""

    text: str
    by: str
    note: str = ""


def mostly_chinese(text: str) -> bool:
    """Whether there are more Chinese characters than words of letters."""
    return len(CJK.findall(text)) > len(re.findall(r"[A-Za-z]+", text))


def words(text: str) -> int:
    """A prompt's length: words, and of Chinese the characters by two, which is about a word."""
    chinese = len(CJK.findall(text))
    return len(CJK.sub(" ", text).split()) + (chinese + 1) // 2


def fits(text: str) -> bool:
    """Whether a completed prompt is short enough for the model to read and to follow."""
    return words(text) <= MAX_WORDS and estimate_tokens(text) <= MAX_PROMPT_TOKENS
