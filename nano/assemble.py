"""Puts checkpoint folders in diffusers' layout together from the trained parts, whose files are whole and ours."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.errors import WeightsError, disk_error
from nano import sums
from nano.kinds import Kind
from nano.sums import WEIGHTS

_LAYOUT = 2  # raise when the folders below are laid out differently


def checkpoint_folder(kind: Kind) -> Path:
    """The kind's diffusers folder in the cache, made on the first call. WeightsError for a damaged part."""
    sources = {name: sums.whole_folder(trained_folder(kind, name)) for name in part_names(kind)}
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
    names += ["audio_encoder", "audio_processor"] if kind.hears else []
    return [*names, "image_encoder", "image_processor"] if kind.clip else names


def trained_folder(kind: Kind, part: str) -> Path:
    """Where a part lives in the package."""
    shared = {
        "vae": kind.vae,
        "image_encoder": "clip",
        "image_processor": "clip-processor",
        "audio_encoder": "wav2vec2",
        "audio_processor": "wav2vec2-processor",
    }
    if part in kind.experts:
        return (
            WEIGHTS / (kind.every_expert_is or kind.name) / ("transformer" if kind.every_expert_is else part)
        )
    return WEIGHTS / shared.get(part, part)


def part_folders(kind: Kind) -> set[Path]:
    """Every folder of the package that the kind is put together from."""
    return {trained_folder(kind, part) for part in part_names(kind)}


def lora_files(kind: Kind) -> dict[str, Path]:
    """Lightning-Nano files by component; KeyError for a kind that has none."""
    if not kind.lightning:
        raise KeyError(f"Wan-Nano has no Lightning LoRA for {kind.name!r}: use its Quality preset")
    return {
        expert: sums.whole_file(WEIGHTS / "lightning" / lora_file_name(kind, expert))
        for expert in kind.experts
    }


def lora_file_name(kind: Kind, expert: str) -> str:
    """Named like the real files, where HIGH is for `transformer` and LOW for `transformer_2`."""
    noise = "" if len(kind.experts) == 1 else ("_HIGH" if expert == "transformer" else "_LOW")
    return f"wan_nano_{kind.name.replace('-', '_')}{noise}_lightning_4step.safetensors"


def _index(kind: Kind) -> dict[str, object]:
    transformer = ["diffusers", kind.transformer_class]
    index: dict[str, object] = {
        "_class_name": kind.pipeline,
        "_diffusers_version": "0.42.1",
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "transformer": transformer,
    }
    if kind.hears:
        index["audio_encoder"] = ["transformers", "Wav2Vec2Model"]
        index["audio_processor"] = ["transformers", "Wav2Vec2FeatureExtractor"]
    # Of these the one transformer has no second beside it.
    if kind.pipeline not in ("WanAnimatePipeline", "WanSpeechToVideoPipeline"):
        index["transformer_2"] = transformer if "transformer_2" in kind.experts else [None, None]
    if kind.pipeline in ("WanImageToVideoPipeline", "WanAnimatePipeline"):
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
    try:
        fallback.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        hint = "set WAN_STUDIO_CACHE to a folder that can be written"
        raise WeightsError(f"Wan-Nano has no folder to be put together in: {why}; {hint}") from None
    return fallback


def _made(name: str, recipe: object, build: Callable[[Path], None]) -> Path:
    """`cache/name-digest`, built beside it and renamed into place, so that racing processes agree."""
    digest = hashlib.sha256(json.dumps([_LAYOUT, recipe], sort_keys=True).encode()).hexdigest()[:12]
    target = cache_root() / f"{name}-{digest}"
    if target.is_dir():
        return target
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    except OSError as error:
        raise disk_error(error) or error from None
    try:
        build(work)
        work.chmod(0o755)
        work.rename(target)
    except OSError as error:
        if not target.is_dir():  # otherwise another process was first, with the same bytes
            raise disk_error(error) or error from None
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
