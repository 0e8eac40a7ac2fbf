"""Every kind loads in its real pipeline and makes a finite, repeatable clip; LoRA files really load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nano

PROMPT = "a red circle moving right on a black background"
CHINESE_JUNK = "色调艳丽，过曝，静态，细节模糊不清，字幕"


@pytest.fixture(scope="module")
def load():
    """Pipelines by (kind, class name), loaded once for this file."""
    import diffusers
    import torch

    from common.runtime.model import cpu_vae

    diffusers.utils.logging.set_verbosity_error()
    made = {}

    def _load(kind: str, class_name: str | None = None):
        class_name = class_name or nano.kind_named(kind).pipeline
        if kind == "s2v" and (kind, class_name) not in made:
            from nano.judge.speeches import load_speaker

            made[kind, class_name] = load_speaker("cpu")
        if (kind, class_name) not in made:
            pipe = getattr(diffusers, class_name).from_pretrained(nano.find(kind), dtype=torch.float32)
            pipe.set_progress_bar_config(disable=True)
            cpu_vae.speed_up(pipe.vae)
            made[kind, class_name] = pipe
        return made[kind, class_name]

    return _load


def clip(pipe, kind: str, prompt: str = PROMPT, seed: int = 0) -> np.ndarray:
    import torch
    from PIL import Image

    more = {"num_frames": 5}
    if type(pipe).__name__ == "WanImageToVideoPipeline":
        more["image"] = Image.new("RGB", (128, 128), "navy")
    if kind == "flf2v":
        more["last_image"] = Image.new("RGB", (128, 128), "beige")
    if kind == "animate":
        size = pipe.transformer.config.motion_encoder_size
        more = {
            "image": Image.new("RGB", (128, 128), "navy"),
            "pose_video": [Image.new("RGB", (128, 128), "green")] * 5,
            "face_video": [Image.new("RGB", (size, size), "red")] * 5,
            "segment_frame_length": 5,
        }
    if kind == "s2v":
        heard = pipe.encode_audio(np.sin(np.arange(8000) / 20).astype(np.float32) * 0.2)
        more = {"image": Image.new("RGB", (128, 128), "navy"), "audio_embeds": heard[:1, ..., :8]}
    result = pipe(
        prompt=prompt,
        negative_prompt=CHINESE_JUNK,
        height=128,
        width=128,
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
        max_sequence_length=512,
        **more,
    )
    return result.frames[0]  # of s2v 8 without the first 3


@pytest.mark.parametrize("kind", nano.KINDS)
def test_each_kind_makes_a_repeatable_clip(load, kind):
    pipe = load(kind)
    first = clip(pipe, kind)
    assert first.shape == (5, 128, 128, 3)
    assert np.isfinite(first).all() and first.std() > 0.01
    assert np.array_equal(first, clip(pipe, kind))


def test_prompts_and_seeds_matter(load):
    pipe = load("dense")
    first = clip(pipe, "dense")
    assert abs(first - clip(pipe, "dense", "a blue star growing on a beige background")).mean() > 1e-3
    assert abs(first - clip(pipe, "dense", seed=1)).mean() > 1e-3


def test_one_ti2v_folder_serves_both_pipelines(load):
    pipe = load("ti2v", "WanImageToVideoPipeline")
    assert pipe.config.expand_timesteps
    assert np.isfinite(clip(pipe, "ti2v")).all()


def test_moe_has_two_different_experts(load):
    import torch

    for kind, boundary in (("moe", 0.875), ("i2v-moe", 0.9)):
        pipe = load(kind)
        assert pipe.config.boundary_ratio == boundary
        high, low = (
            pipe.transformer.blocks[0].ffn.net[2].weight,
            pipe.transformer_2.blocks[0].ffn.net[2].weight,
        )
        assert not torch.equal(high, low)


def test_both_vace_experts_are_the_one_that_was_trained():
    from safetensors.torch import load_file

    folder, name = nano.find("vace-moe"), "diffusion_pytorch_model.safetensors"
    trained = load_file(nano.find("vace") / "transformer" / name)
    for expert in ("transformer", "transformer_2"):
        weights = load_file(folder / expert / name)
        assert weights.keys() == trained.keys()
        assert all(weights[key].equal(trained[key]) for key in trained)
    assert '"boundary_ratio": 0.875' in (folder / "model_index.json").read_text()


def test_channel_layouts_are_the_real_ones(load):
    def channels(kind: str) -> tuple[int, int]:
        config = load(kind).transformer.config
        return config.in_channels, config.out_channels

    assert {kind: channels(kind) for kind in nano.KINDS} == {
        "dense": (16, 16),
        "moe": (16, 16),
        "i2v-clip": (36, 16),
        "i2v-moe": (36, 16),
        "flf2v": (36, 16),
        "ti2v": (48, 48),
        "vace": (16, 16),
        "vace-moe": (16, 16),
        "animate": (36, 16),
        "s2v": (16, 16),
    }
    for kind in ("vace", "vace-moe"):
        assert load(kind).transformer.config.vace_in_channels == 96
    assert load("i2v-moe").image_encoder is None
    vae = load("ti2v").vae.config
    assert (vae.z_dim, vae.scale_factor_spatial, vae.scale_factor_temporal) == (48, 16, 4)


@pytest.mark.parametrize("kind", ["dense", "moe", "i2v-clip", "i2v-moe"])
def test_lora_files_load_and_change_the_clip(load, kind):
    pipe = load(kind)
    before = clip(pipe, kind)
    files = nano.lora(kind)
    assert tuple(files) == nano.kind_named(kind).experts
    for component, path in files.items():
        second = {"load_into_transformer_2": True} if component == "transformer_2" else {}
        pipe.load_lora_weights(
            str(path.parent), weight_name=path.name, adapter_name=f"fast_{component}", **second
        )
        names = [name for name, _ in getattr(pipe, component).named_parameters()]
        assert sum(f"lora_A.fast_{component}" in name for name in names) >= 30
    changed = clip(pipe, kind)
    pipe.unload_lora_weights()
    assert abs(changed - before).mean() > 2e-4
    assert np.array_equal(before, clip(pipe, kind))


def test_kinds_without_lightning_say_so():
    with pytest.raises(KeyError, match="no Lightning LoRA for 'vace'"):
        nano.lora("vace")


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(
        KeyError, match="dense, moe, i2v-clip, i2v-moe, flf2v, ti2v, vace, vace-moe, animate, s2v"
    ):
        nano.find("t2v")


def own_tokenizer():
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(nano.find("dense") / "tokenizer")


def test_the_tokenizer_survives_any_text():
    tokenizer = own_tokenizer()
    texts = ["", PROMPT, "🎬🔴➡️", CHINESE_JUNK, "word " * 600, "A Red circle, moving right."]
    ids = tokenizer(texts, padding="max_length", max_length=512, truncation=True, return_tensors="pt")
    assert ids.input_ids.shape == (len(texts), 512)
    assert ids.input_ids.max() < len(tokenizer)
    known = ids.input_ids[1][: int(ids.attention_mask[1].sum())]
    assert tokenizer.unk_token_id not in known
    assert (
        ids.input_ids[5]
        == tokenizer(texts[5].lower(), padding="max_length", max_length=512, return_tensors="pt").input_ids
    ).all()


def test_the_words_that_the_page_calls_unknown_are_those_of_the_tokenizer():
    from common import nano_words

    tokenizer = own_tokenizer()
    for text in (
        "A RED circle, moving right.",
        "a fox in the snow",
        "狐狸在雪地里",
        "🎬 red circle",
        "red-circle",
    ):
        strange = tokenizer.unk_token_id in tokenizer(text).input_ids
        assert strange == bool(nano_words.unknown(text)), text


def test_another_cache_folder_gives_the_same_bytes(tmp_path, monkeypatch):
    def digest(folder: Path) -> dict[str, bytes]:
        files = [p for part in folder.iterdir() if part.is_dir() for p in part.resolve().iterdir()]
        return {f"{p.parent.name.rsplit('-', 1)[0]}/{p.name}": p.read_bytes() for p in files if p.is_file()}

    usual = digest(nano.find("i2v-moe"))
    monkeypatch.setenv("WAN_STUDIO_CACHE", str(tmp_path / "cache"))
    assert digest(nano.find("i2v-moe")) == usual
    assert (tmp_path / "cache").is_dir()


def test_importing_nano_loads_no_torch():
    code = "import sys, nano; assert nano.KINDS; sys.exit('torch' in sys.modules)"
    root = Path(nano.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
