"""Checkpoints of their full size with random weights, where nothing can be downloaded.

A folder gets a checkpoint's configs (Wan-Nano's, with the sizes of the catalog) and no weights; `loaded` makes the
parts of them on the GPU. What is measured with them is memory and time: the pictures are noise.
"""

from __future__ import annotations

import importlib
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import nano
from common import memory
from common.catalog import LORAS, Architecture, Checkpoint, Lora, Target
from common.contract import Backend
from common.runtime.device.backend import dtype_of
from common.runtime.model import index, load, weights

TEXT: dict[str, Any] = {
    "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24, "vocab_size": 256_384,
}  # fmt: skip
CLIP: dict[str, Any] = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
    "patch_size": 14, "image_size": 224, "projection_dim": 1024,
}  # fmt: skip
SOUND: dict[str, Any] = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "conv_dim": [512] * 7, "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16, "mask_time_prob": 0.05,
}  # fmt: skip
FACES: dict[str, Any] = {
    "motion_encoder_channel_sizes": None, "motion_encoder_size": 512, "motion_style_dim": 512, "motion_dim": 20,
    "motion_encoder_dim": 512, "face_encoder_hidden_dim": 1024,
}  # fmt: skip
VAE: dict[int, dict[str, Any]] = {
    8: {"base_dim": 96, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2},
    16: {"base_dim": 160, "decoder_base_dim": 256, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2},
}


def sizes(row: Checkpoint) -> dict[str, dict[str, Any]]:
    """What the config of each part says at full size."""
    a = row.architecture
    transformer: dict[str, Any] = {
        "num_attention_heads": a.dim // 128, "attention_head_dim": 128, "ffn_dim": a.ffn, "num_layers": a.layers,
        "text_dim": TEXT["d_model"], "freq_dim": 256,
    }  # fmt: skip
    if a.clip:
        transformer |= {"image_dim": CLIP["hidden_size"], "added_kv_proj_dim": a.dim}
    if a.control_layers:
        transformer["vace_layers"] = list(range(0, a.layers, a.layers // a.control_layers))
    if row.kind == "flf2v":
        transformer["pos_embed_seq_len"] = 514
    if a.face_adapters:
        transformer |= FACES | {"inject_face_latents_blocks": a.layers // a.face_adapters}
    if a.audio_injectors:
        transformer |= {
            "audio_dim": SOUND["hidden_size"], "num_weighted_avg_layers": SOUND["num_hidden_layers"] + 1,
            "audio_inject_layers": [0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39],
        }  # fmt: skip
    if a.caches_video:  # diffusers has other words for it there
        transformer = {
            "dim": a.dim, "ffn_dim": a.ffn, "num_heads": a.dim // 128, "num_layers": a.layers,
            "text_dim": TEXT["d_model"], "freq_dim": 256, "in_dim": a.channels, "out_dim": a.latent_channels,
        }  # fmt: skip
    return {
        "transformer": transformer,
        "transformer_2": transformer,
        "text_encoder": TEXT,
        "image_encoder": CLIP,
        "audio_encoder": SOUND,
        "vae": VAE[a.spatial],
    }


def folder(row: Checkpoint, target: Path) -> Path:
    """A checkpoint's folder in diffusers' layout, its configs at full size and without weights."""
    source = nano.find(row.kind or "i2v-clip")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors"))
    if row.architecture.caches_video:
        _modular(row, target)
    for part, given in sizes(row).items():
        file = target / part / "config.json"
        if file.exists():
            file.write_text(json.dumps({**json.loads(file.read_text()), **given}))
    processor = target / "image_processor" / "preprocessor_config.json"
    if processor.exists():
        side = {"height": CLIP["image_size"], "width": CLIP["image_size"]}
        processor.write_text(
            json.dumps({**json.loads(processor.read_text()), "size": side, "crop_size": side})
        )
    return target


def _modular(row: Checkpoint, target: Path) -> None:
    """Makes of a folder one of Animate-2, which Wan-Nano has nothing like."""
    (target / "transformer" / "config.json").write_text("{}")
    content = json.loads((target / index.PLAIN).read_text())
    parts = {
        name: entry for name, entry in content.items() if isinstance(entry, list) and name in _MODULAR_PARTS
    }
    distilled = "Distilled" in row.pipeline
    parts["scheduler"] = ["diffusers", _SCHEDULERS[distilled]["_class_name"]]
    parts["transformer"] = ["diffusers", "WanAnimate2Transformer3DModel"]
    (target / "scheduler" / "scheduler_config.json").write_text(json.dumps(_SCHEDULERS[distilled]))
    (target / index.MODULAR).write_text(json.dumps({n: [*e, {"type_hint": e}] for n, e in parts.items()}))


_MODULAR_PARTS = ("text_encoder", "tokenizer", "image_encoder", "vae")
_SCHEDULERS: dict[bool, dict[str, Any]] = {
    False: {
        "_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True,
        "flow_shift": 5.0, "final_sigmas_type": "zero",
    },
    True: {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 5.0},
}  # fmt: skip


def module(part: Path, entry: list[str], device: str) -> Any:
    """One part of a pipeline with random weights: the same ones each time, on one kind of device."""
    _seed(part.name)
    kind: Any = getattr(importlib.import_module(entry[0]), entry[1])
    dtype = dtype_of(part.name, "cuda")
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            if entry[0] == "transformers":
                made = kind(kind.config_class.from_json_file(part / "config.json"))
            else:
                made = kind.from_config(json.loads((part / "config.json").read_text()))
    finally:
        torch.set_default_dtype(before)
    # transformers keeps its own words for float16 alone; diffusers keeps them for bfloat16 too.
    kept = getattr(kind, "_keep_in_fp32_modules", None) if entry[0] != "transformers" else None
    for name, parameter in made.named_parameters():
        if dtype != torch.float32 and any(word in name for word in kept or ()):
            parameter.data = parameter.data.float()
    return made.eval().requires_grad_(False)


def _seed(name: str) -> None:
    torch.manual_seed(zlib.crc32(name.encode()))


def check(pipe: Any, row: Checkpoint) -> None:
    """AssertionError for a part that has not the parameters of the catalog, such as an embedding that is not tied."""
    wanted = {**memory.parameters(row.architecture), "audio_encoder": 0}  # which is in no pipeline
    found = dict.fromkeys(wanted, 0)
    for name, part in pipe.components.items():
        kind = "transformer" if name.startswith("transformer") else name
        if kind in found and part is not None:
            found[kind] += sum(p.numel() for p in part.parameters())
    assert found == wanted, found


def lora_file(architecture: Architecture, rank: int, target: Path) -> Path:
    """A LoRA on every attention and feed-forward weight, as the published ones are, with random weights in bf16."""
    from safetensors.torch import save_file

    d, f = architecture.dim, architecture.ffn
    shapes = {f"attn{n}.to_{part}": (d, d) for n in (1, 2) for part in ("q", "k", "v", "out.0")}
    shapes |= {"ffn.net.0.proj": (d, f), "ffn.net.2": (f, d)}
    tensors: dict[str, torch.Tensor] = {}
    _seed(target.name)
    for layer in range(architecture.layers):
        for name, (into, out) in shapes.items():
            key = f"transformer.blocks.{layer}.{name}"
            tensors[f"{key}.lora_A.weight"] = (torch.randn(rank, into, device="cuda") * 0.01).bfloat16().cpu()
            tensors[f"{key}.lora_B.weight"] = (torch.randn(out, rank, device="cuda") * 0.01).bfloat16().cpu()
    save_file(tensors, target)
    return target


@contextmanager
def loaded(root: Path) -> Iterator[None]:
    """Has the loader make parts instead of reading them, and find its folders and LoRAs under `root`."""
    kept = load.part, weights.resolve, weights.resolve_lora  # pyright: ignore[reportPrivateUsage]

    def part(folder: Path, entry: list[str], backend: Backend, waits: bool = False) -> Any:
        kind: Any = getattr(importlib.import_module(entry[0]), entry[1])
        if torch.nn.Module not in kind.__mro__:
            return kind.from_pretrained(folder)
        return module(folder, entry, "cuda").to("cpu" if waits else backend.device)

    def resolve(row: Checkpoint, *_: Any) -> Path:
        found = root / row.key
        return found if found.exists() else folder(row, found)

    def resolve_lora(lora: Lora, row: Checkpoint, *_: Any) -> list[tuple[Target, Path]]:
        found: list[tuple[Target, Path]] = []
        for file in LORAS[lora.key].files:
            path = root / f"{row.key}-rank{file.rank}.safetensors"
            found.append(
                (file.target, path if path.exists() else lora_file(row.architecture, file.rank, path))
            )
        return found

    load.part, weights.resolve, weights.resolve_lora = part, resolve, resolve_lora  # pyright: ignore
    try:
        yield
    finally:
        load.part, weights.resolve, weights.resolve_lora = kept  # pyright: ignore[reportPrivateUsage]
