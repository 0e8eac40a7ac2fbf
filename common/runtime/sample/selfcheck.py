"""Compares what a device makes with what the CPU makes of the same: some Macs compute wrong, and do not say so.

Not attention alone: Wan was seen to come out wrong on one Mac and right on another of the same program, whatever the
attention (ComfyUI #15793). So small but whole models are compared, in the formats that the placement uses.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from common.errors import GpuError
from common.memory import SCORES
from common.placement import MPS_ELEMENTS
from common.runtime.device.backend import dtype_of
from common.runtime.sample.attention import InPieces

ALLOWED: Final = 0.05
"""Largest distance from the CPU's float32, relative to it. Rounding to bf16 gives 0.006; what is wrong, about 1."""

_HEADS, _DIM, _ROWS = 8, 128, 16
_VAES: Final[dict[str, dict[str, Any]]] = {
    "2.1 VAE": {"z_dim": 16},
    "2.2 VAE": {
        "z_dim": 48, "decoder_base_dim": 8, "is_residual": True, "in_channels": 12, "out_channels": 12,
        "patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """How far a part's result is from the CPU's, relative to its size; infinite where there was none."""

    part: str
    error: float

    @property
    def wrong(self) -> bool:
        """Whether it is more than rounding."""
        return not self.error <= ALLOWED  # NaN is wrong too

    def __str__(self) -> str:
        how = f"is off by {self.error:.0%}" if self.error < math.inf else "fails or is not a number"
        return f"{self.part} {how}"


@dataclass(frozen=True)
class Verdict:
    """`limit` is the number of scores above which attention goes in pieces; `findings` are those under it."""

    limit: int
    findings: tuple[Finding, ...]


@cache
def verdict(device: str) -> Verdict:
    """Of a device, made once in a process; GpuError where nothing helps, and then again the next time."""
    return examine(device)


def before_loading(device: str, say: Callable[[str], None] | None) -> None:
    """To be called before a model is loaded; only Apple's GPUs are in question."""
    if device == "mps" and verdict(device).limit < SCORES and say:
        say("This Mac's own attention is wrong; it is computed in pieces instead, which takes longer")


def examine(
    device: str,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    whole: int = SCORES,
    beyond: int = MPS_ELEMENTS,
) -> Verdict:
    """Attention whole up to so many scores, or else in pieces throughout; GpuError where neither is right.

    `around` is entered around all that is made on the device; `beyond` is how large the largest attention is.
    """
    tried: list[list[Finding]] = []
    for limit in (whole, 0):
        found = _findings(device, around, limit, whole, beyond)
        if not any(f.wrong for f in found):
            return Verdict(limit, tuple(found))
        tried.append(found)
    wrong = ", ".join(str(f) for f in tried[-1] if f.wrong)
    raise GpuError(
        f"This machine's GPU ({device}) computes wrong, and so would its videos be. Against its CPU {wrong}, where "
        f"up to {ALLOWED:.0%} may be rounding (torch {torch.__version__}, {system()}). Update macOS and torch, then "
        "try again; WAN_DEVICE=cpu works without the GPU",
        title="GPU computes wrong",
    )


def _findings(
    device: str, around: Callable[[], AbstractContextManager[Any]], limit: int, whole: int, beyond: int
) -> list[Finding]:
    def compared(part: str, on_cpu: Tensor, on_device: Callable[[], Tensor]) -> Finding:
        try:
            with around(), InPieces(limit, whole):
                made = on_device().float().cpu()
        except (RuntimeError, TypeError):  # an operation or a format that the device lacks
            return Finding(part, math.inf)
        return Finding(part, ((made - on_cpu).norm() / on_cpu.norm()).item())

    def attention(part: str, tokens: int) -> Finding:
        query, key, value = (_random(1, _HEADS, tokens, _DIM, seed=i).bfloat16() for i in range(3))
        query = 2 * query  # or the result is nearly a mean over all
        rows = torch.linspace(0, tokens - 1, _ROWS).long()
        exact = scaled_dot_product_attention(query[:, :, rows].float(), key.float(), value.float())

        def made() -> Tensor:
            sent: Any = [x.to(device) for x in (query, key, value)]
            return scaled_dot_product_attention(*sent).cpu()[:, :, rows]

        return compared(part, exact, made)

    def transformer() -> Finding:
        model, asked = _transformer()
        (exact,) = model(**asked, return_dict=False)
        dtype = dtype_of("transformer", "mps")

        def made() -> Tensor:
            sent = {k: v.to(device, dtype if v.is_floating_point() else v.dtype) for k, v in asked.items()}
            return as_loaded(deepcopy(model), dtype).to(device)(**sent, return_dict=False)[0]

        return compared("the transformer", exact, made)

    def vae(name: str) -> list[Finding]:
        model, video = _vae(_VAES[name])
        latents = model.encode(video).latent_dist.mode()
        (clip,) = model.decode(latents, return_dict=False)
        return [
            compared(
                f"the {name}'s encoder",
                latents,
                lambda: model.to(device).encode(video.to(device)).latent_dist.mode(),
            ),
            compared(
                f"the {name}'s decoder",
                clip,
                lambda: model.to(device).decode(latents.to(device), return_dict=False)[0],
            ),
        ]

    with torch.no_grad():
        return [
            attention("attention", math.isqrt(whole // _HEADS)),
            attention("attention of many tokens", math.isqrt(beyond // _HEADS) + 1),
            transformer(),
            *(finding for name in _VAES for finding in vae(name)),
        ]


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed))


def _transformer() -> tuple[Any, dict[str, Tensor]]:
    """Two blocks with self- and cross-attention, and 3 latent frames of 256x256 pixels for it."""
    from diffusers import WanTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=_DIM, ffn_dim=512, num_layers=2, text_dim=64, freq_dim=64,
            rope_max_seq_len=64,
        )  # fmt: skip
    asked = {
        "hidden_states": _random(1, 16, 3, 32, 32, seed=1),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": _random(1, 512, 64, seed=2),
    }
    return made.eval(), asked


def as_loaded(transformer: Any, dtype: torch.dtype) -> Any:
    """A transformer cast to a format, but for what diffusers keeps in float32 when it loads one."""
    kept = set(transformer._keep_in_fp32_modules or ())
    for name, parameter in transformer.named_parameters():
        if not kept & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)
    return transformer


def _vae(config: dict[str, Any]) -> tuple[Any, Tensor]:
    """A narrow VAE, and 9 frames for it: three times through its cache of frames."""
    from diffusers import AutoencoderKLWan  # pyright: ignore[reportPrivateImportUsage]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = AutoencoderKLWan(
            base_dim=8,
            dim_mult=[1, 2, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            **config,
        )
    return made.eval(), _random(1, 3, 9, 64, 64, seed=3).clamp(-1, 1)


def system() -> str:
    """The operating system and its version."""
    mac = platform.mac_ver()[0]
    return f"macOS {mac}" if mac else platform.platform()
