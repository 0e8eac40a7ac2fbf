"""Wan-S2V's transformer as upstream wrote it, in place of ours: a second engine for who trusts that more.

    pip install --no-deps "wan @ git+https://github.com/Wan-Video/Wan2.2@42bf4cfaa384bc21833865abc2f9e6c0e67233dc"
    pip install einops
    WAN_S2V_ENGINE=upstream wan-studio studio

Without the packages that it asks for: most are of its other models, and flash_attn and numpy below 2 cannot be had
beside ours. Of the package nothing but the model is imported, and its attention is PyTorch's. Weights, VAE, words,
sound and the loop over steps and clips are ours, so that clips are kept and stopped as ever.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn import functional

from common.errors import GpuError, WeightsError
from common.runtime.pipelines.s2v import checkpoint, mapping
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel

HOW = "see common/runtime/pipelines/s2v/upstream.py, or unset WAN_S2V_ENGINE"


class UpstreamS2VTransformer3DModel(ModelMixin, ConfigMixin):
    """Called as `WanS2VTransformer3DModel` is, and made of the same configs and weights. It takes no LoRA."""

    @register_to_config
    def __init__(self, **config: Any) -> None:
        """`config` is that of our model."""
        super().__init__()
        self.model = model_class()(**mapping.upstream_config(config))
        layers = torch.ones(1, config["num_weighted_avg_layers"], 1, 1)  # upstream knows of 25 only
        self.model.casual_audio_encoder.weights = torch.nn.Parameter(layers)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Of a local folder, whatever its weights are called; on the CPU, in `torch_dtype` but for what is exact."""
        folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
        given = mapping.own_config(json.loads((folder / "config.json").read_text("utf-8")))
        with torch.device("meta"):
            ours: Any = WanS2VTransformer3DModel.from_config(given)
        with init_empty_weights():  # not "meta": its table of rotations is no parameter
            made = cls(**{name: value for name, value in ours.config.items() if not name.startswith("_")})
        own, dtype = ours.state_dict().keys(), kwargs.get("torch_dtype") or torch.float32
        for state in checkpoint.states(folder, own, dtype, ours._keep_in_fp32_modules):
            named = {mapping.upstream(name): value for name, value in state.items()}
            made.model.load_state_dict(named, strict=False, assign=True)
        return made.eval()

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        motion_latents: Tensor,
        audio_embeds: Tensor,
        image_latents: Tensor,
        pose_latents: Tensor | None = None,
        motion_frames: Sequence[int] = (17, 5),
        drop_motion_frames: bool = False,
        add_last_motion: int = 2,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """See ours."""
        device = hidden_states.device.type
        if device == "mps":
            raise GpuError(f"Upstream's S2V computes in float64, which no Mac's GPU can; {HOW}")
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            made = self.model(
                [*hidden_states],
                t=timestep,
                context=[*encoder_hidden_states],
                seq_len=0,  # "no need for this model"
                ref_latents=[*image_latents],
                motion_latents=[*motion_latents],
                cond_states=[*(torch.zeros_like(hidden_states) if pose_latents is None else pose_latents)],
                audio_input=audio_embeds,
                motion_frames=[*motion_frames],
                drop_motion_frames=drop_motion_frames,
                add_last_motion=add_last_motion,
            )
        sample = torch.stack(made)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)


@cache
def model_class() -> Any:
    """Upstream's WanModel_S2V, of the package `wan` or of a checkout at WAN_UPSTREAM; WeightsError without either."""
    try:
        root = _root()
        for name in ("wan", "wan.modules", "wan.modules.s2v", "wan.distributed"):
            package = ModuleType(name)  # their own import everything, and a GPU
            package.__path__ = [str(root.parent.joinpath(*name.split(".")))]
            sys.modules[name] = package
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # In this order: who imports `flash_attention` by name finds it replaced.
            attention: Any = importlib.import_module("wan.modules.attention")
            attention.flash_attention = _attention
            return importlib.import_module("wan.modules.s2v.model_s2v").WanModel_S2V
    except ImportError as error:
        raise WeightsError(f"Upstream's model of S2V is not on this machine ({error}); {HOW}") from error


def _root() -> Path:
    if source := os.environ.get("WAN_UPSTREAM"):
        root = Path(source) / "wan"
    else:
        found = importlib.util.find_spec("wan")
        if found is None or not found.submodule_search_locations:
            raise ImportError("no package wan")
        root = Path(found.submodule_search_locations[0])
    if not (root / "modules/s2v/model_s2v.py").is_file():
        raise ImportError(f"no S2V in {root}")
    return root


def _attention(q: Tensor, k: Tensor, v: Tensor, **_: Any) -> Tensor:
    """flash_attention's layout [batch, tokens, heads, dim]; no lengths differ here, so nothing is masked."""
    made = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return made.transpose(1, 2).contiguous()
