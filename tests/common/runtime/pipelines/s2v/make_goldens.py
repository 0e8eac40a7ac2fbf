"""Writes what machines without upstream's model compare with: goldens.json, of its tiny one, and published.json.

    WAN_UPSTREAM=<Wan-Video/Wan2.2 at 42bf4cf> python -m tests.common.runtime.pipelines.s2v.make_goldens

Needs einops beside what the Studio needs. goldens.json has shape, mean, deviation and 200 values of what comes of
each case of seeded.py. published.json has names and sizes of the weights of Wan2.2-S2V-14B: a name with its numbers
replaced by `*`, and how often there is one such. They are those of upstream's model with its published config; their
number, 1260, is that of the published index.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.common.runtime.pipelines.s2v import upstream
from tests.common.runtime.pipelines.s2v.seeded import CASES, some

PUBLISHED_CONFIG: dict[str, Any] = {
    "dim": 5120, "num_heads": 40, "num_layers": 40, "ffn_dim": 13824, "freq_dim": 256, "in_dim": 16, "out_dim": 16,
    "eps": 1e-06, "audio_dim": 1024, "num_audio_token": 4, "cond_dim": 16, "enable_adain": True,
    "adain_mode": "attn_norm", "audio_inject_layers": [0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39],
    "zero_init": True, "zero_timestep": True, "enable_motioner": False, "add_last_motion": True, "enable_tsm": False,
    "trainable_token_pos_emb": False, "motion_token_num": 1024, "enable_framepack": True,
    "framepack_drop_mode": "padd", "model_type": "s2v", "text_len": 512,
}  # fmt: skip

NUMBERED = re.compile(r"(blocks|injector|injector_adain_layers)\.\d+\.")


def main() -> None:
    if reason := upstream.why_not():
        sys.exit(reason)
    _write("goldens.json", {name: _golden(name) for name in CASES})
    shapes = upstream.shapes(PUBLISHED_CONFIG)
    counted = Counter((NUMBERED.sub(r"\1.*.", name), size) for name, size in shapes.items())
    _write("published.json", {name: [[*size], count] for (name, size), count in counted.items()})


def _golden(name: str) -> dict[str, Any]:
    sample = upstream.sample(CASES[name]).double()
    return {
        "shape": [*sample.shape],
        "mean": float(f"{sample.mean():.7g}"),
        "std": float(f"{sample.std():.7g}"),
        "some": [float(f"{value:.6g}") for value in some(sample)],
    }


def _write(file: str, content: dict[str, Any]) -> None:
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    (Path(__file__).parent / file).write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
