"""Holds the configs of a repository against its row of the catalog: one that changed must not run as what it was.

Only JSON is read, so that it can be done before the weights are downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.catalog import Checkpoint, Weights
from common.errors import WeightsError
from common.runtime.model import index
from common.runtime.pipelines.s2v import mapping

FULL_SIZE: dict[str, dict[str, Any]] = {
    "text_encoder": {"d_model": 4096, "num_layers": 24},
    "image_encoder": {"hidden_size": 1280},
    "audio_encoder": {"hidden_size": 1024, "num_hidden_layers": 24},
    "vae-8": {"base_dim": 96},
    "vae-16": {"base_dim": 160, "decoder_base_dim": 256},
}
"""What all checkpoints share (the VAE by its compression), in the size that memory is counted with."""

_VAE_DEFAULTS = {"in_channels": 3, "out_channels": 3, "scale_factor_spatial": 8, "scale_factor_temporal": 4}
"""Keys that diffusers had no need of for Wan 2.1, whose configs lack them."""

_EULER = "FlowMatchEulerDiscreteScheduler"
_SCHEDULERS = ("UniPCMultistepScheduler", _EULER)
_OWN_SCHEDULERS = ("DPMSolverMultistepScheduler", _EULER)
"""Of Wan-Animate-2, which is sampled by what its repository names."""


@dataclass(frozen=True)
class _Rule:
    part: str
    name: str
    expected: Any
    found: Any

    @property
    def holds(self) -> bool:
        return (
            self.found in self.expected if isinstance(self.expected, tuple) else self.found == self.expected
        )


def check(folder: Path, checkpoint: Checkpoint, weights: Weights, repo: str = "") -> None:
    """WeightsError that names the repository, the part, what was expected and what is there.

    Wan-Nano's models stand in for all sizes: of them only classes and channels are looked at.
    """
    try:
        rules = list(_rules(_Repository(folder), checkpoint, weights))
    except (TypeError, AttributeError) as error:  # a text where a number belongs
        raise WeightsError(f"{repo or folder}: its configs are not those of a Wan model ({error})") from None
    for rule in rules:
        if not rule.holds:
            wanted = rule.expected if not isinstance(rule.expected, tuple) else " or ".join(rule.expected)
            raise WeightsError(
                f"{repo or folder} is not the {checkpoint.name} that Wan Studio knows: {rule.part} has "
                f"{rule.name} {rule.found}, expected {wanted}. The repository has changed, or another is in its "
                "place: put the one back that fits, pin `revision` in common/catalog.py, or update Wan Studio"
            )


class _Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = index.name_in(folder)
        self.index = self._read(self.name)
        self._classes = index.parts(self.index)

    def config(self, part: str) -> Mapping[str, Any]:
        """A part's config; empty where there is none, so that the first rule of it fails."""
        return self._read(f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json")

    def kind(self, part: str) -> str | None:
        """A part's class, by the index; of a scheduler by its own config, where the index takes any."""
        found = self._classes.get(part, ["", None])[1]
        return self.config(part).get("_class_name") if found == "SchedulerMixin" else found

    def _read(self, name: str) -> Mapping[str, Any]:
        try:
            found = json.loads((self.folder / name).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self.folder / name} cannot be read ({type(error).__name__}); delete it and start again"
            ) from None
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _rules(repository: _Repository, checkpoint: Checkpoint, weights: Weights) -> Iterator[_Rule]:
    yield from _pipeline(repository, checkpoint)
    yield from _scheduler(repository, checkpoint)
    for part in ("transformer", "transformer_2")[: checkpoint.architecture.experts]:
        yield from _transformer(repository, part, checkpoint, weights)
    yield from _vae(repository, checkpoint, weights)
    yield from _encoders(repository, checkpoint, weights)


def _pipeline(repository: _Repository, checkpoint: Checkpoint) -> Iterator[_Rule]:
    found, a = repository.index, checkpoint.architecture
    part = repository.name
    yield _Rule(part, "transformer_2", a.experts == 2, repository.kind("transformer_2") is not None)
    yield _Rule(part, "boundary_ratio", checkpoint.moe, found.get("boundary_ratio") is not None)
    yield _Rule(part, "expand_timesteps", a.spatial == 16, bool(found.get("expand_timesteps")))
    yield _Rule(part, "image_encoder", a.clip, repository.kind("image_encoder") is not None)
    yield _Rule(part, "audio_encoder", bool(a.audio_injectors), repository.kind("audio_encoder") is not None)


def _scheduler(repository: _Repository, checkpoint: Checkpoint) -> Iterator[_Rule]:
    config = repository.config("scheduler")
    known = _OWN_SCHEDULERS if checkpoint.pipeline else _SCHEDULERS
    yield _Rule("scheduler", "class", known, repository.kind("scheduler"))
    yield _Rule("scheduler", "num_train_timesteps", 1000, config.get("num_train_timesteps", 1000))
    if repository.kind("scheduler") != _EULER:
        yield _Rule("scheduler", "prediction_type", "flow_prediction", config.get("prediction_type"))
        yield _Rule("scheduler", "use_flow_sigmas", True, config.get("use_flow_sigmas"))


def _transformer(
    repository: _Repository, part: str, checkpoint: Checkpoint, weights: Weights
) -> Iterator[_Rule]:
    config, a = repository.config(part), checkpoint.architecture
    if checkpoint.pipeline:
        yield from _own_transformer(repository, part, checkpoint)
        return
    controls: list[int] = config.get("vace_layers") or []
    kind = "WanVACETransformer3DModel" if a.control_layers else "WanTransformer3DModel"
    kind = "WanAnimateTransformer3DModel" if checkpoint.animates else kind
    if a.audio_injectors:
        kind, config = "WanS2VTransformer3DModel", mapping.own_config(config)
        listens = repository.config("audio_encoder").get("hidden_size")
        yield _Rule(part, "audio_dim (as wide as the audio encoder)", listens, config.get("audio_dim"))
    yield _Rule(part, "class", kind, repository.kind(part))
    expected = {"in_channels": a.channels, "out_channels": a.latent_channels, "patch_size": [1, 2, 2]}
    if weights == "wan":
        expected |= {"num_layers": a.layers, "ffn_dim": a.ffn}
        heads, size = config.get("num_attention_heads", 0), config.get("attention_head_dim", 0)
        yield _Rule(part, "width (heads times their size)", a.dim, heads * size)
        yield _Rule(part, "number of vace_layers", a.control_layers, len(controls))
    for name, value in expected.items():
        yield _Rule(part, name, value, config.get(name))
    if a.control_layers:
        yield _Rule(part, "vace_in_channels", 96, config.get("vace_in_channels"))
    yield _Rule(part, "image_dim", a.clip, config.get("image_dim") is not None)
    two = checkpoint.kind == "flf2v"  # learned places for the embeddings of two pictures
    yield _Rule(part, "pos_embed_seq_len", two, config.get("pos_embed_seq_len") is not None)
    text = repository.config("text_encoder").get("d_model")
    yield _Rule(part, "text_dim (as wide as the text encoder)", text, config.get("text_dim"))


def _own_transformer(repository: _Repository, part: str, checkpoint: Checkpoint) -> Iterator[_Rule]:
    """Wan-Animate-2's, whose config has the words of upstream's."""
    config, a = repository.config(part), checkpoint.architecture
    yield _Rule(part, "class", "WanAnimate2Transformer3DModel", repository.kind(part))
    expected = {
        "in_dim": a.channels, "out_dim": a.latent_channels, "patch_size": [1, 2, 2], "dim": a.dim, "ffn_dim": a.ffn,
        "num_layers": a.layers, "use_img_emb": a.clip, "text_dim": repository.config("text_encoder").get("d_model"),
    }  # fmt: skip
    for name, value in expected.items():
        yield _Rule(part, name, value, config.get(name))


def _vae(repository: _Repository, checkpoint: Checkpoint, weights: Weights) -> Iterator[_Rule]:
    config: dict[str, Any] = _VAE_DEFAULTS | dict(repository.config("vae"))
    a = checkpoint.architecture
    colours = 12 if a.spatial == 16 else 3  # the 2.2 VAE takes patches of 2x2 pixels
    yield _Rule("vae", "class", "AutoencoderKLWan", repository.kind("vae"))
    expected = {
        "z_dim": a.latent_channels, "in_channels": colours, "out_channels": colours,
        "scale_factor_spatial": a.spatial, "scale_factor_temporal": a.temporal,
    }  # fmt: skip
    if weights == "wan":
        expected |= FULL_SIZE.get(f"vae-{a.spatial}", {})
    for name, value in expected.items():
        yield _Rule("vae", name, value, config.get(name))
    for name in ("latents_mean", "latents_std"):
        yield _Rule("vae", f"length of {name}", a.latent_channels, len(config.get(name) or []))


def _encoders(repository: _Repository, checkpoint: Checkpoint, weights: Weights) -> Iterator[_Rule]:
    kinds: dict[str, tuple[str, ...]] = {"text_encoder": ("UMT5EncoderModel",)}
    if checkpoint.architecture.clip:
        kinds["image_encoder"] = ("CLIPVisionModel", "CLIPVisionModelWithProjection")
    if checkpoint.architecture.audio_injectors:
        kinds["audio_encoder"] = ("Wav2Vec2Model", "Wav2Vec2ForCTC")
    for part, names in kinds.items():
        yield _Rule(part, "class", names, repository.kind(part))
        if weights == "wan":
            config = repository.config(part)
            for name, value in FULL_SIZE.get(part, {}).items():
                yield _Rule(part, name, value, config.get(name))
