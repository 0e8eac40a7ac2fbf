"""Opens an ONNX file in onnxruntime, on the device where it can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_BY_DEVICE = {"cuda": ["CUDAExecutionProvider"], "mps": ["CoreMLExecutionProvider"]}


def opened(file: Path, device: str) -> Any:
    """A session; on the CPU where this build of onnxruntime has nothing for the device."""
    import onnxruntime  # pyright: ignore[reportMissingImports] - an extra, asked for by models.py

    there = onnxruntime.get_available_providers()
    providers = [p for p in _BY_DEVICE.get(device, []) if p in there]
    return onnxruntime.InferenceSession(str(file), providers=[*providers, "CPUExecutionProvider"])
