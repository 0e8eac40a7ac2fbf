"""Finds a thing by its name or description with Grounding DINO: words to a box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.annotate.frames import Frame
from common.annotate.models import loaded
from common.errors import InputError

_BOX_THRESHOLD, _TEXT_THRESHOLD = 0.25, 0.2


def find_box(frame: Frame, words: str, folder: Path, device: str, field: str) -> tuple[int, int, int, int]:
    """The most certain box for `words`, in pixels; InputError when nothing is found."""
    import torch

    processor, model = loaded(_load, folder, device)
    with torch.inference_mode():
        inputs = processor(images=frame, text=query(words), return_tensors="pt").to(model.device)
        found = processor.post_process_grounded_object_detection(
            model(**inputs),
            inputs.input_ids,
            threshold=_BOX_THRESHOLD,
            text_threshold=_TEXT_THRESHOLD,
            target_sizes=[(frame.height, frame.width)],
        )[0]
    if not len(found["scores"]):
        raise InputError(
            field, "names nothing that was found in the first frame", got=repr(words), hint="try another word"
        )
    box = found["boxes"][int(found["scores"].argmax())].tolist()
    left, top = max(round(box[0]), 0), max(round(box[1]), 0)
    right, bottom = min(round(box[2]), frame.width), min(round(box[3]), frame.height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def query(words: str) -> str:
    """Grounding DINO wants lower case and a full stop."""
    return words.strip().lower().rstrip(".") + "."


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    from transformers import (
        AutoTokenizer,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
    )

    pictures = GroundingDinoImageProcessorPil.from_pretrained(folder)
    processor = GroundingDinoProcessor(pictures, AutoTokenizer.from_pretrained(folder))
    model: Any = GroundingDinoForObjectDetection.from_pretrained(folder)
    return processor, model.eval().to(device)
