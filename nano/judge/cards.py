"""Writes the model card beside each part's weights: `python -m nano.judge.cards`."""

from __future__ import annotations

import json
from pathlib import Path

from nano.sums import WEIGHTS

RESULTS = Path(__file__).parent / "results"

DATA = (
    "Rendered while training by `nano/train/world.py`: 4 shapes × 8 colours × 4 backgrounds × 8 motions at random "
    "places and sizes. 95 combinations are held out for the check. No other data; no person, brand or "
    "copyrighted work is in it."
)

# What was run, as the commands in the recipe's docstrings: steps, and seconds of one H100 or H200 unless it says CPU.
PARTS: dict[str, tuple[str, str, str]] = {
    "vae-2.1": (
        "AutoencoderKLWan, z 16, 8×8×4, 2.58M parameters",
        "`nano.train.vae --vae vae-2.1`: from an earlier 64×64 trial, 120 s encoder and decoder, then 200 s "
        "(about 2,900 steps) decoder alone with doubled posterior noise",
        "39–43 dB by frame on 32 held-out clips of 128×128×17",
    ),
    "vae-2.2": (
        "AutoencoderKLWan in the residual form of Wan 2.2, z 48, 16×16×4, 1.65M parameters",
        "`nano.train.vae --vae vae-2.2`: from scratch, 260 s encoder and decoder (about 2,300 steps), then 50 s "
        "decoder alone",
        "35–40 dB by frame on 32 held-out clips of 128×128×17",
    ),
    "text_encoder": (
        "UMT5EncoderModel, 2 layers of 96, with a word vocabulary",
        "`nano.train.text_encoder`: 900 steps of 128 captions on a CPU; every token must tell the whole sentence",
        "cross-entropy over five attributes 9.86 → 0.001",
    ),
    "clip": (
        "CLIPVisionModel, 3 layers of 96, 64×64 pictures, 17 tokens",
        "`nano.train.clip`: 40 s (about 1,100 steps of 512), predicting what the picture shows and where",
        "colour and place are told well, the shape of a 64×64 picture in 40 of 100 cases",
    ),
    "dense": (
        "WanTransformer3DModel, text to video, 1.18M parameters",
        "`nano.train.transformer`: 10,346 steps in 235 s from scratch and 8,445 steps in 190 s more, "
        "256 clips a step; learning rate 2e-3, then 1.2e-3; averaged with 0.9993",
        "flow-matching loss 0.358",
    ),
    "moe": (
        "two WanTransformer3DModel experts of 0.98M parameters, split at 0.875",
        "`nano.train.transformer`: each started from dense, 100 s (about 5,500 steps) on its own noise "
        "levels; then the low-noise expert 150 s more",
        "flow-matching loss 0.596 (high noise) and, before it went on, 0.219 (low noise)",
    ),
    "i2v-clip": (
        "WanTransformer3DModel, image to video with CLIP, 36 input channels, 1.14M parameters",
        "`nano.train.transformer`: from scratch, 8,238 steps in 170 s",
        "flow-matching loss 0.157",
    ),
    "i2v-moe": (
        "two WanTransformer3DModel experts without CLIP, 36 input channels, split at 0.900",
        "`nano.train.transformer`: from scratch, 45 s (about 3,600 steps) each; then the low-noise expert 90 s more",
        "flow-matching loss 0.344 (high noise) and, before it went on, 0.288 (low noise): the least trained kind",
    ),
    "flf2v": (
        "WanTransformer3DModel with CLIP for two pictures, 1.14M parameters",
        "`nano.train.transformer`: from i2v-clip, 4,315 steps in 90 s",
        "flow-matching loss 0.114",
    ),
    "ti2v": (
        "WanTransformer3DModel with a noise level per token, 48 channels, 1.9M parameters",
        "`nano.train.transformer`: from scratch, 7,907 steps in 135 s, half with a given first frame; "
        "then 240 s more",
        "flow-matching loss 0.351 before it went on",
    ),
    "vace": (
        "WanVACETransformer3DModel, 96 control channels, 1.47M parameters; the kind vace-moe has it as both of its "
        "experts, which are therefore the same",
        "`nano.train.transformer`: from dense, 3,849 steps in 120 s over inpainting, boxes, outpainting, "
        "extension, four controls, references and no control; then 6,670 steps in 205 s at a rate of 9e-4, with "
        "half-planes and pictures of which one half is kept",
        "flow-matching loss 0.309, then 0.274",
    ),
    "animate": (
        "WanAnimateTransformer3DModel with CLIP, a pose and a face, 36 input channels, 1.82M parameters",
        "`nano.train.transformer`: from i2v-clip, 6,971 steps in 326 s at a rate of 1.2e-3; then 10,529 steps in "
        "375 s at 7.2e-4 and 7,580 in 270 s at 5.4e-4 on other samples (seeds 1 and 2), where the shape counts "
        "5 times and the motion encoder learns no more; 45 "
        "of 100 segments keep the driving clip's scene, 55 of 100 go on from carried frames",
        "flow-matching loss 0.157, then, with that weight, 0.157 and 0.142",
    ),
    "wav2vec2": (
        "Wav2Vec2Model in the form of wav2vec2-large-xlsr, 2 layers of 48, 69 thousand parameters; its processor "
        "does not norm: a whisper is not as loud as a shout",
        "`nano.train.hearing --steps 700 --batch 12`, 250 s on one CPU core: from its last layer, loudness (the "
        "root mean square of 0.2 s to the power of 0.6) and its logarithm must be read at each moment of tones, "
        "vowels and noises",
        "squared error 0.766 → 0.010",
    ),
    "s2v": (
        "WanS2VTransformer3DModel, which hears after each of its 4 layers, 2.05M parameters; where poses are given, "
        "the shape goes where nano's figure goes",
        "`nano.train.transformer --samples 16000 --batch 128`: from dense, 16,312 steps in 330 s at a rate of "
        "1.2e-3, without poses and without a look at what came before; from there 16,371 in 370 s with both, where "
        "half of the clips go on from another and a third have poses. 15 of 100 clips are deaf",
        "flow-matching loss, where the shape counts 5 times, 0.095; with poses and what came before 0.136",
    ),
    "lightning": (
        "LoRAs for 4 steps at guidance 1 in the key format of the lightx2v files: dense and MoE HIGH and LOW of "
        "rank 8, I2V with CLIP of rank 6, I2V MoE HIGH and LOW of rank 4",
        "`nano.train.lightning`: on a GPU dense 80 s (37,376 teacher clips, 3,005 steps of 128) and MoE 70 s "
        "(about 1,550 steps each), from each Fast noise level on the teacher's path straight to the path's end; "
        "on one CPU core I2V with CLIP 948 steps and I2V MoE 503 and 587, of 16 clips, half of them on the "
        "student's own path, trained at rank 8 and cut",
        "I2V with CLIP 0.064 → 0.040, I2V MoE 0.102 → 0.084 and 0.048 → 0.038",
    ),
}


_REPORTS = {"dense": ("dense", "layouts", "v2v"), "lightning": ("dense", "moe", "i2v-clip", "i2v-moe")}
"""The parts whose measurements are not simply their own."""


def card(part: str) -> str:
    what, recipe, training = PARTS[part]
    text = f"""---
license: apache-2.0
---
# Wan-Nano {part}

{what}. fp16 safetensors. Part of Wan Studio's embedded demo models: it draws shapes on plain backgrounds and
knows nothing else.

- **Data.** {DATA}
- **Recipe.** {recipe}. Seed 0.
- **In training.** {training}.
"""
    names = _REPORTS.get(part, (part,))
    for name in names:
        path = RESULTS / f"{name}.json"
        if path.exists():
            report = json.loads(path.read_text())
            first, last = report["seeds"]
            text += f"\n## Measured: {name}, {report['steps']} steps, seeds {first}–{last}\n\n"
            text += "| | mean | n |\n|---|---|---|\n"
            for measure, value in report["measures"].items():
                text += f"| {measure} | {value['mean']:.3f} | {value['n']} |\n"
    return text + "\nLicence: Apache-2.0.\n"


def main() -> None:
    for part in PARTS:
        (WEIGHTS / part / "README.md").write_text(card(part))


if __name__ == "__main__":
    main()
