"""What the weights of Wan-S2V are called elsewhere: by upstream, and by diffusers' pull request before its last form.

`FastVideo/Wan2.2-S2V-14B-Diffusers` has the folders of diffusers and in them upstream's names and config.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from common.errors import WeightsError

TOKENS = 4
"""Tokens a latent frame that come of the sound; a learned one is added to them."""
_AUDIO = (
    (r"\.weighted_avg\.", r"."),
    (r"\.(conv[23])\.conv\.conv\.", r".\1.conv."),
)
_UPSTREAM = (
    *_AUDIO,
    (r"^condition_embedder\.(time|text)_embedder\.linear_1\.", r"\1_embedding.0."),
    (r"^condition_embedder\.(time|text)_embedder\.linear_2\.", r"\1_embedding.2."),
    (r"^condition_embedder\.time_proj\.", r"time_projection.1."),
    (r"^condition_embedder\.causal_audio_encoder\.", r"casual_audio_encoder."),  # its own spelling
    (r"^condition_embedder\.pose_embedder\.", r"cond_encoder."),
    (r"^trainable_condition_mask\.", r"trainable_cond_mask."),
    (r"^proj_out\.", r"head.head."),
    (r"^scale_shift_table$", r"head.modulation"),
    (r"\.scale_shift_table$", r".modulation"),
    (r"\.attn1\.", r".self_attn."),
    (r"\.attn2\.", r".cross_attn."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", r".o."),
    (r"\.norm2\.", r".norm3."),
    (r"\.ffn\.net\.0\.proj\.", r".ffn.0."),
    (r"\.ffn\.net\.2\.", r".ffn.2."),
)

_SAME_KEYS = (
    "text_dim", "ffn_dim", "freq_dim", "num_layers", "eps", "audio_dim", "audio_inject_layers", "enable_adain",
    "adain_mode", "enable_framepack", "framepack_drop_mode", "add_last_motion", "zero_timestep",
)  # fmt: skip
_ONLY = {"enable_motioner": False, "trainable_token_pos_emb": False, "num_audio_token": TOKENS}
"""Upstream's code knows more than its published model has."""

_OTHER_KEYS = {
    "num_heads": "num_attention_heads",
    "in_dim": "in_channels",
    "out_dim": "out_channels",
    "cond_dim": "pose_dim",
}


def upstream(name: str) -> str:
    """What upstream's `WanModel_S2V` calls the weight that is `name` here."""
    return _replaced(name, _UPSTREAM)


def early(name: str) -> str:
    """What the pull request called it at first: only the audio encoder changed."""
    return _replaced(name, _AUDIO)


def is_foreign(names: Collection[str]) -> bool:
    """Whether weights are called as upstream or the early pull request called them."""
    own = "condition_embedder.causal_audio_encoder.weighted_avg.weights"
    return own not in names and not {upstream(own), early(own)}.isdisjoint(names)


def own_names(found: Iterable[str], own: Collection[str]) -> dict[str, str]:
    """The name here of each weight `found`; `own` are all that the model has.

    WeightsError where one is not known, or one is missing.
    """
    have = set(found)
    ways: tuple[Callable[[str], str], ...] = (str, early, upstream)
    called = ({way(name): name for name in own} for way in ways)
    known = max(called, key=lambda names: len(names.keys() & have))
    if wrong := _listed("does not know", have - known.keys()) + _listed("misses", known.keys() - have):
        raise WeightsError(f"These are not the weights of this Wan-S2V, which {' and '.join(wrong)}")
    return {name: known[name] for name in have}


def own_config(found: Mapping[str, Any]) -> dict[str, Any]:
    """Upstream's config as that of our model; one that is diffusers' comes back as it is.

    WeightsError where it asks for what the published model has not.
    """
    if "num_heads" not in found:
        return dict(found)
    for key, value in _ONLY.items():
        if found.get(key, value) != value:
            raise WeightsError(
                f"A Wan-S2V with {key} {found[key]} is not known here; Wan2.2-S2V-14B has {value}"
            )
    made = {key: found[key] for key in _SAME_KEYS if key in found}
    made |= {own: found[key] for key, own in _OTHER_KEYS.items() if key in found}
    return made | {"attention_head_dim": found["dim"] // found["num_heads"]}


def upstream_config(own: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of upstream's `WanModel_S2V` for a config of ours."""
    made = {key: own[key] for key in _SAME_KEYS if key in own}
    made |= {other: own[key] for other, key in _OTHER_KEYS.items() if key in own}
    return {**made, **_ONLY, "dim": own["num_attention_heads"] * own["attention_head_dim"]}


def _replaced(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, other in rules:
        name = re.sub(pattern, other, name)
    return name


def _listed(verb: str, names: set[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(sorted(names)[:3])
    return [f"{verb} {len(names)} weights ({shown}{', …' if len(names) > 3 else ''})"]
