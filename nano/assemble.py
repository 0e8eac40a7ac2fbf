"""Puts checkpoint folders together from trained weights, filling the gaps with untrained ones."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from nano.kinds import CLIP, TEXT_ENCODER, VAES, Kind, kind_named
from nano.words import pieces

WEIGHTS = Path(__file__).parent / "weights"
_LAYOUT = 2  # raise when the folders below are laid out differently


def checkpoint_folder(kind: Kind) -> Path:
    """The kind's diffusers folder in the cache, made on the first call."""
    sources = {name: part_folder(kind, name) for name in part_names(kind)}
    extra = _index(kind) | {"_scheduler": _scheduler(kind)}

    def build(folder: Path) -> None:
        for name, source in sources.items():
            _link(source, folder / name)
        (folder / "scheduler").mkdir()
        _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(kind))
        _write_json(folder / "model_index.json", _index(kind))

    return _made(kind.name, [extra, {k: str(v) for k, v in sources.items()}], build)


def part_names(kind: Kind) -> list[str]:
    """The sub-folders that hold weights or vocabularies, as diffusers names them."""
    names = [*kind.experts, "vae", "text_encoder", "tokenizer"]
    return [*names, "image_encoder", "image_processor"] if kind.clip else names


def trained_folder(kind: Kind, part: str) -> Path:
    """Where the trained form of a part lives in the package, whether or not it is there yet."""
    shared = {"vae": kind.vae, "image_encoder": "clip", "image_processor": "clip-processor"}
    if part in kind.experts:
        return (
            WEIGHTS / (kind.every_expert_is or kind.name) / ("transformer" if kind.every_expert_is else part)
        )
    return WEIGHTS / shared.get(part, part)


def part_folder(kind: Kind, part: str) -> Path:
    """The trained part, or an untrained one made in the cache."""
    trained = trained_folder(kind, part)
    if _has_weights(trained):
        return trained

    def build(folder: Path) -> None:
        from nano import parts

        match part:
            case "vae":
                parts.save_half(parts.new_vae(kind.vae), folder)
            case "text_encoder":
                parts.save_half(parts.new_text_encoder(), folder)
            case "image_encoder":
                parts.save_half(parts.new_clip(), folder)
            case "tokenizer":
                parts.save_tokenizer(folder)
            case "image_processor":
                parts.save_image_processor(folder)
            case _:
                parts.save_half(parts.new_transformer(kind, part), folder)

    name = f"{kind.name}-{part}" if part in kind.experts else trained.name
    return _made(f"part-{name}", [_source_digest(), _part_recipe(kind, part)], build)


def _part_recipe(kind: Kind, part: str) -> object:
    shared = {"vae": VAES[kind.vae], "text_encoder": TEXT_ENCODER, "tokenizer": pieces()}
    return kind.transformer if part in kind.experts else shared.get(part, CLIP)


def lora_files(kind: Kind) -> dict[str, Path]:
    """Lightning-Nano files by component: trained ones, or untrained ones made in the cache."""
    if not kind.lightning:
        raise KeyError(f"Wan-Nano has no Lightning LoRA for {kind.name!r}: use its Quality preset")
    return {expert: _lora_file(kind, expert) for expert in kind.experts}


def _lora_file(kind: Kind, expert: str) -> Path:
    name = lora_file_name(kind, expert)
    trained = WEIGHTS / "lightning" / name
    if trained.exists():
        return trained

    def build(folder: Path) -> None:
        from nano.lora_file import save_untrained

        save_untrained(kind, expert, folder / name)

    return _made(f"lora-{kind.name}-{expert}", [_source_digest(), kind.transformer], build) / name


def lora_file_name(kind: Kind, expert: str) -> str:
    """Named like the real files, where HIGH is for `transformer` and LOW for `transformer_2`."""
    noise = "" if len(kind.experts) == 1 else ("_HIGH" if expert == "transformer" else "_LOW")
    return f"wan_nano_{kind.name.replace('-', '_')}{noise}_lightning_4step.safetensors"


def lightning_is_trained(name: str) -> bool:
    """Whether the kind of that name has trained Lightning files."""
    kind = kind_named(name)
    files = [WEIGHTS / "lightning" / lora_file_name(kind, expert) for expert in kind.experts]
    return kind.lightning and all(path.exists() for path in files)


def all_parts_trained(kind: Kind) -> bool:
    return all(_has_weights(trained_folder(kind, part)) for part in (*kind.experts, "vae", "text_encoder"))


def _has_weights(folder: Path) -> bool:
    files = ("diffusion_pytorch_model.safetensors", "model.safetensors", "tokenizer_config.json")
    return any((folder / name).exists() for name in (*files, "preprocessor_config.json"))


def _index(kind: Kind) -> dict[str, object]:
    transformer = ["diffusers", kind.transformer_class]
    index: dict[str, object] = {
        "_class_name": kind.pipeline,
        "_diffusers_version": "0.42.1",
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "transformer": transformer,
        "transformer_2": transformer if "transformer_2" in kind.experts else [None, None],
    }
    if kind.pipeline == "WanImageToVideoPipeline":
        index["image_encoder"] = ["transformers", "CLIPVisionModel"] if kind.clip else [None, None]
        index["image_processor"] = ["transformers", "CLIPImageProcessor"] if kind.clip else [None, None]
    return index | kind.index


def _scheduler(kind: Kind) -> dict[str, object]:
    return {
        "_class_name": "UniPCMultistepScheduler",
        "_diffusers_version": "0.42.1",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": kind.flow_shift,
        "solver_order": 2,
        "solver_type": "bh2",
        "final_sigmas_type": "zero",
    }


def cache_root() -> Path:
    """WAN_STUDIO_CACHE, else ~/.cache/wan-studio, else a folder in the temporary directory."""
    chosen = os.environ.get("WAN_STUDIO_CACHE")
    home = Path(os.path.expanduser("~/.cache/wan-studio"))  # noqa: PTH111 - Path.expanduser raises without a home
    root = Path(chosen) if chosen else home
    with contextlib.suppress(OSError):
        (root / "nano").mkdir(parents=True, exist_ok=True)
        if os.access(root / "nano", os.W_OK):
            return root / "nano"
    fallback = Path(tempfile.gettempdir()) / f"wan-studio-{getpass.getuser()}" / "nano"
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def _made(name: str, recipe: object, build: Callable[[Path], None]) -> Path:
    """`cache/name-digest`, built beside it and renamed into place, so that racing processes agree."""
    digest = hashlib.sha256(json.dumps([_LAYOUT, recipe], sort_keys=True).encode()).hexdigest()[:12]
    target = cache_root() / f"{name}-{digest}"
    if target.is_dir():
        return target
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        build(work)
        work.chmod(0o755)
        work.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process was first, with the same bytes
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve(), target_is_directory=True)
    except OSError:
        shutil.copytree(source, target)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


@lru_cache
def _source_digest() -> str:
    sources = (Path(__file__).with_name(name) for name in ("parts.py", "lora_file.py", "kinds.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
