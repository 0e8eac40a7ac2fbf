"""A repository that changed is refused by name, before its weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nano
from common.catalog import CHECKPOINTS
from common.errors import WeightsError
from common.runtime.model import configs
from tests.common.runtime.model.tiny_rows import change, copied, tiny

ROWS = [row for row in CHECKPOINTS.values() if row.kind in nano.KINDS]

CHANGED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "layers": ("moe", "transformer/config.json", {"num_layers": 7},
                 "transformer has num_layers 7, expected 4"),
    "low expert": ("moe", "transformer_2/config.json", {"ffn_dim": 512},
                   "transformer_2 has ffn_dim 512, expected 256"),
    "width": ("moe", "transformer/config.json", {"num_attention_heads": 8},
                 "transformer has width .* 256, expected 128"),
    "channels": ("moe", "transformer/config.json", {"in_channels": 36},
                 "transformer has in_channels 36, expected 16"),
    "gone": ("moe", "transformer/config.json", {"in_channels": None},
                 "transformer has in_channels None"),
    "text": ("moe", "transformer/config.json", {"vace_layers": 5},
                 "configs are not those of a Wan model"),
    "wide text": ("moe", "text_encoder/config.json", {"d_model": 64},
                 "transformer has text_dim .* 96, expected 64"),
    "vae": ("moe", "vae/config.json", {"z_dim": 48}, "vae has z_dim 48, expected 16"),
    "old vae": ("ti2v", "vae/config.json", {"scale_factor_spatial": None},
                 "vae has scale_factor_spatial 8, expected 16"),
    "boundary": ("moe", "model_index.json", {"boundary_ratio": None},
                 "model_index.json has boundary_ratio False"),
    "timesteps": ("ti2v", "model_index.json", {"expand_timesteps": None},
                 "has expand_timesteps False, expected True"),
    "class": ("moe", "model_index.json", {"transformer": ["diffusers", "SkyReelsV2Transformer3DModel"]},
              "transformer has class SkyReelsV2Transformer3DModel, expected WanTransformer3DModel"),
    "scheduler": ("moe", "model_index.json", {"scheduler": ["diffusers", "DDIMScheduler"]},
                  "scheduler has class DDIMScheduler, expected UniPC.* or FlowMatch"),
    "prediction": ("moe", "scheduler/scheduler_config.json", {"prediction_type": "epsilon"},
                   "scheduler has prediction_type epsilon, expected flow_prediction"),
    "eyes": ("i2v-clip", "model_index.json", {"image_encoder": [None, None]},
                 "has image_encoder False, expected True"),
    "one picture": ("flf2v", "transformer/config.json", {"pos_embed_seq_len": None},
                 "has pos_embed_seq_len False"),
    "hints": ("vace", "transformer/config.json", {"vace_layers": [0]},
                 "has number of vace_layers 1, expected 2"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_what_fits_its_row_is_taken(row, monkeypatch) -> None:
    folder = nano.find(row.kind)
    configs.check(folder, row, "nano")
    with pytest.raises(WeightsError, match=r"repo/x is not the .* that Wan Studio knows"):
        configs.check(folder, row, "wan", "repo/x")  # it is not of the real size
    monkeypatch.setattr(configs, "FULL_SIZE", {})
    configs.check(folder, tiny(row), "wan")


@pytest.mark.parametrize("case", CHANGED)
def test_a_repository_that_changed_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    kind, file, values, text = CHANGED[case]
    folder = copied(kind, tmp_path / "m")
    change(folder / file, **values)
    monkeypatch.setattr(configs, "FULL_SIZE", {})
    row = tiny(next(r for r in ROWS if r.kind == kind))
    with pytest.raises(WeightsError, match=text) as refused:
        configs.check(folder, row, "wan", row.repo)
    assert row.repo in refused.value.text


def test_the_configs_that_wan_ai_publishes_fit(tmp_path: Path) -> None:
    """Wan 2.1 T2V-1.3B's and UMT5's, as their logs print them; the VAE's lacks the keys that came later."""
    folder = tmp_path / "m"
    vae = {"base_dim": 96, "dim_mult": [1, 2, 4, 4], "latents_mean": [0.0] * 16, "latents_std": [1.0] * 16,
           "num_res_blocks": 2, "temperal_downsample": [False, True, True], "z_dim": 16}  # fmt: skip
    transformer = {"num_attention_heads": 12, "attention_head_dim": 128, "num_layers": 30, "ffn_dim": 8960,
                   "in_channels": 16, "out_channels": 16, "patch_size": [1, 2, 2], "text_dim": 4096,
                   "image_dim": None}  # fmt: skip
    scheduler = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "num_train_timesteps": 1000}
    index = {"scheduler": ["diffusers", "UniPCMultistepScheduler"], "vae": ["diffusers", "AutoencoderKLWan"],
             "text_encoder": ["transformers", "UMT5EncoderModel"], "tokenizer": ["transformers", "T5TokenizerFast"],
             "transformer": ["diffusers", "WanTransformer3DModel"]}  # fmt: skip
    text = {"d_model": 4096, "num_layers": 24}
    parts = {"vae": vae, "transformer": transformer, "text_encoder": text}
    for name, content in {**{f"{k}/config.json": v for k, v in parts.items()}, "model_index.json": index,
                          "scheduler/scheduler_config.json": scheduler}.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    configs.check(folder, CHECKPOINTS["wan2.1-t2v-1.3b"], "wan")
    with pytest.raises(WeightsError, match=r"width .* 1536, expected 5120"):
        configs.check(folder, CHECKPOINTS["wan2.1-t2v-14b"], "wan")
