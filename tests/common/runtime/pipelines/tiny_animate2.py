"""A tiny Wan-Animate-2 with random weights, as a folder that is laid out like its repositories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    WanAnimate2Transformer3DModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModel

import nano
from nano.kinds import TEXT_DIM

SCHEDULERS: dict[bool, Any] = {
    False: DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, final_sigmas_type="zero"
    ),
    True: FlowMatchEulerDiscreteScheduler(shift=5.0),
}
"""Of the base checkpoint, and of the distilled one."""


def make(folder: Path, *, distilled: bool = False, layers: int = 2, hints_alone: bool = False) -> Path:
    """A folder of its own; `hints_alone` has an index that was written before the parts were loaded."""
    torch.manual_seed(0)
    source = nano.find("dense")
    for part in ("text_encoder", "tokenizer", "vae"):
        shutil.copytree(source / part, folder / part)
    WanAnimate2Transformer3DModel(
        text_len=512, dim=48, ffn_dim=64, freq_dim=32, text_dim=TEXT_DIM, num_heads=2, num_layers=layers
    ).save_pretrained(folder / "transformer")
    # 1280 is in the code of the transformer.
    clip = CLIPVisionConfig(
        hidden_size=1280, intermediate_size=64, num_hidden_layers=2, num_attention_heads=16, patch_size=112
    )
    CLIPVisionModel(clip).save_pretrained(folder / "image_encoder")
    SCHEDULERS[distilled].save_pretrained(folder / "scheduler")
    name = "WanAnimate2Distilled" if distilled else "WanAnimate2"
    content: dict[str, Any] = {
        "_class_name": f"{name}ModularPipeline",
        "_blocks_class_name": f"{name}Blocks",
        "_diffusers_version": "0.42.1",
    }
    hints = {
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "AutoTokenizer"],
        "image_encoder": ["transformers", "CLIPVisionModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "transformer": ["diffusers", "WanAnimate2Transformer3DModel"],
        "scheduler": ["diffusers", "SchedulerMixin"],
    }
    for part, hint in hints.items():
        where = {
            "pretrained_model_name_or_path": "Wan-AI/elsewhere",
            "subfolder": part,
            "revision": "refs/pr/2",
        }
        content[part] = [*([None, None] if hints_alone else hint), {"type_hint": hint, **where}]
    (folder / "modular_model_index.json").write_text(json.dumps(content))
    # What the repositories had first: diffusers never got a pipeline of that name.
    stale = {
        "_class_name": "WanAnimate2Pipeline",
        "transformer": ["diffusers", "WanxiangAnimate2Transformer"],
    }
    (folder / "model_index.json").write_text(json.dumps(stale))
    return folder
