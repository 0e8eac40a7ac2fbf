"""One clip of S2V: what the model is told, what is made of its latents, and how clips go on from each other.

Two clips of this pipeline and of Wan2.2's own WanS2V.generate, run beside each other with this model, VAE, text
encoder, and Wan2.2's scheduler, were alike to 5e-7 of their norm, with and without poses and guidance; what they
heard was the same to the last bit. Frames that go on as bytes change the next clip by 1e-4 of its norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from common.contract import Placement, Plan, Segment
from common.errors import Cancelled
from common.runtime.job import Job
from common.runtime.pipelines.s2v.pipeline import WanSpeechToVideoPipeline
from common.runtime.sample import generate
from common.speech import ClipLaw
from tests.common.runtime.pipelines.s2v import tiny_parts

SIDE, FRAMES, LAYERS = 64, 8, 25
PROMPT, NEGATIVE = "a red circle moving right", "blue square"
SHORT = ClipLaw(frames=FRAMES, motion=13)
"""For a model that does not mind: 73 frames take a while."""


class Oracle(torch.nn.Module):
    """Knows a clip: of noise it makes that in one step. `leads` is added to what it tells where there is a sound."""

    device = torch.device("cpu")

    def __init__(self, clip: Tensor, leads: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.clip, self.leads, self.dtype = clip, leads, dtype
        self.told: list[dict[str, Any]] = []

    def forward(self, **told: Any) -> tuple[Tensor]:
        self.told.append(told)
        return (told["hidden_states"].float() - self.clip + self.leads * told["audio_embeds"].any(),)


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_parts.parts()


@pytest.fixture
def pipe(parts: dict[str, Any]) -> WanSpeechToVideoPipeline:
    """The whole model."""
    made = WanSpeechToVideoPipeline(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def knowing(pipe: WanSpeechToVideoPipeline, video: Tensor, opening: int, **more: Any) -> Oracle:
    """The pipeline with a model that knows a video, but for its `opening` latent frames."""
    pipe.law, pipe.transformer = SHORT, Oracle(encoded(video)[:, :, opening:], **more)
    return pipe.transformer


def moving(count: int) -> np.ndarray:
    """A square that goes right by a pixel a frame."""
    frames = np.full((count, SIDE, SIDE, 3), (40, 90, 160), np.uint8)
    for number, frame in enumerate(frames):
        frame[20:44, 2 + number : 22 + number] = (230, 200, 40)
    return frames


def pixels(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@torch.no_grad()
def encoded(video: Tensor) -> Tensor:
    vae: Any = tiny_parts.vae()
    mean, std = (
        torch.tensor(v).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std)
    )
    return (vae.encode(video).latent_dist.mode() - mean) / std


@torch.no_grad()
def back(video: Tensor, last: int) -> Tensor:
    """The last frames of a video as the VAE gives them back, [1, last, 3, height, width] in 0..1."""
    vae: Any = tiny_parts.vae()
    made = vae.decode(vae.encode(video).latent_dist.mode()).sample[:, :, -last:]
    return (made.transpose(1, 2) / 2 + 0.5).clamp(0, 1)


def heard(seed: int = 0, channels: int = tiny_parts.AUDIO_DIM, frames: int = FRAMES) -> Tensor:
    return torch.randn(1, LAYERS, channels, frames, generator=torch.Generator().manual_seed(seed))


def clip(pipe: WanSpeechToVideoPipeline, **values: Any) -> Any:
    """One clip of one step without guidance, unless told otherwise."""
    given: dict[str, Any] = {
        "image": Image.fromarray(moving(1)[0]), "audio_embeds": heard(), "prompt": PROMPT,
        "negative_prompt": NEGATIVE, "num_inference_steps": 1, "guidance_scale": 1.0, "output_type": "pt",
        "generator": torch.Generator().manual_seed(3),
    }  # fmt: skip
    return pipe(**(given | values)).frames


def test_the_first_clip_comes_after_the_picture_and_loses_three_frames(pipe) -> None:
    video = pixels(moving(1 + FRAMES))
    oracle = knowing(pipe, video, 1)
    made = clip(pipe)
    assert made.shape == (1, FRAMES - 3, 3, SIDE, SIDE)
    torch.testing.assert_close(made, back(video, FRAMES)[:, 3:], atol=2e-4, rtol=0)
    (told,) = oracle.told
    assert told["drop_motion_frames"] is True and told["motion_frames"] == (13, 4)
    assert told["motion_latents"].shape == (1, 16, 4, 8, 8) and told["pose_latents"] is None
    torch.testing.assert_close(told["image_latents"], encoded(video[:, :, :1]))
    assert told["timestep"].shape == (1,) and torch.equal(told["audio_embeds"], heard())
    assert told["encoder_hidden_states"].shape[:2] == (1, 512)


@pytest.mark.parametrize("form", ["bytes", "pictures", "numbers"])
def test_a_later_clip_comes_after_the_frames_before_it(pipe, form: str) -> None:
    frames = moving(SHORT.motion + FRAMES)
    oracle = knowing(pipe, pixels(frames), 4)
    before = frames[: SHORT.motion]
    tail: Any = {
        "bytes": before,
        "pictures": [Image.fromarray(frame) for frame in before],
        "numbers": torch.from_numpy(before).permute(0, 3, 1, 2)[None] / 255,
    }[form]
    made = clip(pipe, tail=tail)
    assert made.shape == (1, FRAMES, 3, SIDE, SIDE)
    torch.testing.assert_close(made, back(pixels(frames), FRAMES), atol=2e-4, rtol=0)
    assert oracle.told[0]["drop_motion_frames"] is False
    torch.testing.assert_close(oracle.told[0]["motion_latents"], encoded(pixels(before)), atol=1e-5, rtol=0)


def test_before_fewer_frames_all_was_gray(pipe) -> None:
    before = moving(5)
    oracle = knowing(pipe, pixels(moving(SHORT.motion + FRAMES)), 4)
    clip(pipe, tail=before)
    expected = encoded(torch.cat([torch.zeros(1, 3, 8, SIDE, SIDE), pixels(before)], 2))
    torch.testing.assert_close(oracle.told[0]["motion_latents"], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [6, 0])
def test_poses_are_those_of_the_clips_own_frames_and_black_after_their_end(pipe, count: int) -> None:
    oracle = knowing(pipe, pixels(moving(1 + FRAMES)), 1)
    clip(pipe, pose_video=[Image.fromarray(frame) for frame in moving(count)])
    whole = torch.cat([pixels(moving(count)), -torch.ones(1, 3, FRAMES - count, SIDE, SIDE)], 2)
    expected = encoded(torch.cat([whole[:, :, :1], whole], 2))[:, :, 1:]
    torch.testing.assert_close(oracle.told[0]["pose_latents"], expected, atol=1e-5, rtol=0)


def test_guidance_leads_away_from_silence_and_the_negative_prompt(pipe) -> None:
    video = pixels(moving(1 + FRAMES))
    oracle = knowing(pipe, video, 1, leads=0.1)
    alone = clip(pipe, output_type="latent")
    guided = clip(pipe, guidance_scale=4.5, output_type="latent")
    assert len(oracle.told) == 3
    torch.testing.assert_close(alone, oracle.clip - 0.1, atol=1e-4, rtol=0)
    torch.testing.assert_close(guided, oracle.clip - 4.5 * 0.1, atol=1e-4, rtol=0)
    _, asked, silent = oracle.told
    assert asked["audio_embeds"].any() and not silent["audio_embeds"].any()
    with torch.no_grad():
        words = [pipe.encode_prompt(p, None, False, max_sequence_length=512)[0] for p in (PROMPT, NEGATIVE)]
    assert torch.equal(asked["encoder_hidden_states"], words[0])
    assert torch.equal(silent["encoder_hidden_states"], words[1])
    given = clip(
        pipe, guidance_scale=4.5, output_type="latent", prompt=None, negative_prompt=None,
        prompt_embeds=words[0], negative_prompt_embeds=words[1],
    )  # fmt: skip
    assert torch.equal(given, guided)


def test_the_model_is_told_in_its_own_format_and_the_sampler_keeps_all_bits(pipe) -> None:
    oracle = knowing(pipe, pixels(moving(SHORT.motion + FRAMES)), 4, dtype=torch.bfloat16)
    seen: list[Tensor] = []

    def keep(_: Any, __: int, ___: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append(tensors["latents"])
        return tensors

    clip(pipe, tail=moving(SHORT.motion), pose_video=moving(FRAMES), callback_on_step_end=keep)
    (told,) = oracle.told
    numbers = {name: t.dtype for name, t in told.items() if isinstance(t, Tensor) and t.is_floating_point()}
    assert len(numbers) == 6 and {*numbers.values()} == {torch.bfloat16}
    assert seen[0].dtype == torch.float32


def test_a_callback_sees_each_step_may_change_the_latents_and_end_the_steps(pipe) -> None:
    oracle = knowing(pipe, pixels(moving(1 + FRAMES)), 1)
    steps: list[int] = []

    def watch(pipe: Any, index: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        assert [*tensors] == ["latents"] and pipe.current_timestep == timestep and pipe.num_timesteps == 4
        steps.append(index)
        pipe._interrupt = index == 1
        return {"latents": torch.ones_like(tensors["latents"])} if index == 1 else tensors

    made = clip(pipe, num_inference_steps=4, callback_on_step_end=watch, output_type="latent")
    assert steps == [0, 1] and len(oracle.told) == 2 and torch.equal(made, torch.ones_like(made))
    assert pipe.current_timestep is None
    assert clip(pipe, output_type="pil")[0][0].size == (SIDE, SIDE)  # the next call is not interrupted


def test_sizes_counts_and_prompts_that_do_not_fit_are_refused(pipe) -> None:
    knowing(pipe, pixels(moving(1 + FRAMES)), 1)
    small = Image.new("RGB", (48, 64))
    for wrong, told in (
        ({"image": small}, "multiples of 64; got 48x64"),
        ({"width": 128}, "the picture has 64x64, the clip 128x64"),
        ({"audio_embeds": heard()[0]}, "audio_embeds must be"),
        ({"audio_embeds": heard(frames=7)}, "multiple of 4 frames; got 7"),
        ({"tail": moving(14)}, "tail must have 1 to 13 frames; got 14"),
        ({"tail": moving(5)[:, :48]}, "frames of 64x48 for a clip of 64x64"),
        ({"pose_video": moving(9)}, "pose_video must have 0 to 8 frames; got 9"),
        ({"tail": []}, "tail must have 1 to 13 frames; got 0"),
        ({"prompt": None}, "a prompt or prompt_embeds"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, r"got \['noise'\]"),
    ):
        with pytest.raises(ValueError, match=told):
            clip(pipe, **wrong)


# ------------------------------------------------------------------ with the real model, in small


def planned(**values: Any) -> Plan:
    given: dict[str, Any] = {
        "mode": "s2v", "checkpoint": "wan2.2-s2v-14b", "weights": "wan", "preset": "quality",
        "requested_preset": "quality", "width": SIDE, "height": SIDE, "num_frames": 2 * FRAMES - 3, "fps": 16,
        "num_inference_steps": 2, "guidance_scale": 4.5, "flow_shift": 3.0, "seed": 3, "negative_prompt": NEGATIVE,
        "segments": [Segment(frames=FRAMES, steps=2, expected_seconds=1.0)] * 2, "gpu_seconds": 0,
        "expected_seconds": 1.0, "clip_seconds": 1.0,
        "placement": Placement(
            precision={"transformer": "float32", "vae_decode": "float32"}, peak_bytes=1, weight_bytes=1
        ),
    }  # fmt: skip
    return Plan(**(given | values))


def made_by_engine(pipe: Any, segment: int, job: Job | None = None, **inputs: Any) -> np.ndarray:
    given = {"image": Image.fromarray(moving(1)[0]), "audio_embeds": heard()} | inputs
    return generate.make(pipe, PROMPT, planned(), given, 2, job or Job(), segment)


def test_our_engine_makes_clips_that_go_on_from_kept_frames(pipe) -> None:
    first = made_by_engine(pipe, 0)
    assert first.shape == (FRAMES - 3, SIDE, SIDE, 3) and first.dtype == np.uint8
    assert np.array_equal(first, made_by_engine(pipe, 0))
    assert not np.array_equal(first, made_by_engine(pipe, 0, audio_embeds=heard(1)))
    assert not np.array_equal(first, made_by_engine(pipe, 0, pose_video=moving(FRAMES)))
    second = made_by_engine(pipe, 1, tail=first)
    assert second.shape == (FRAMES, SIDE, SIDE, 3)
    assert not np.array_equal(second, made_by_engine(pipe, 1, tail=255 - first))


def test_a_stop_ends_a_clip_within_a_step(pipe) -> None:
    job = Job()
    job.stop.set()
    with pytest.raises(Cancelled):
        made_by_engine(pipe, 0, job)


def test_a_whole_clip_has_what_a_sound_needs(pipe) -> None:
    """4.8125 s are the longest that one clip lasts."""
    sound = np.sin(np.arange(77_000, dtype=np.float32) / 20).astype(np.float32)
    embeds = pipe.encode_audio(sound)
    assert embeds.shape == (1, LAYERS, tiny_parts.AUDIO_DIM, 80)
    assert clip(pipe, audio_embeds=embeds).shape[1] == 77


@torch.no_grad()
@pytest.mark.parametrize("frame", [1, 4, 7, 79])
def test_a_moment_of_sound_drives_no_frame_before_its_own(pipe, frame: int) -> None:
    """Behind 73 frames of its first moment, 4 columns are a latent frame's, of which the VAE makes the 4 frames."""
    listen = pipe.transformer.condition_embedder.causal_audio_encoder
    sound, other = heard(frames=80), heard(frames=80)
    other[..., frame] += 1
    told = [listen(torch.cat([s[..., :1].expand(-1, -1, -1, 73), s], -1))[1][0, 19:] for s in (sound, other)]
    assert len(told[0]) == 20
    changed = (told[0] - told[1]).flatten(1).abs().amax(1) > 1e-6
    assert int(changed.nonzero()[0]) == frame // 4


def test_a_lora_is_loaded_and_let_go(pipe) -> None:
    before = clip(pipe, output_type="latent")
    inner = pipe.transformer.config.num_attention_heads * pipe.transformer.config.attention_head_dim
    rank = torch.Generator().manual_seed(0)
    pipe.load_lora_weights(
        {
            f"transformer.blocks.{block}.attn1.{name}.lora_{side}.weight": torch.randn(shape, generator=rank)
            for block in range(2)
            for name in ("to_q", "to_v")
            for side, shape in (("A", (4, inner)), ("B", (inner, 4)))
        },
        adapter_name="own",
    )
    assert pipe.get_active_adapters() == ["own"]
    assert not torch.equal(clip(pipe, output_type="latent"), before)
    nothing = clip(pipe, output_type="latent", attention_kwargs={"scale": 0.0})
    pipe.unload_lora_weights()
    assert torch.equal(clip(pipe, output_type="latent"), before)
    torch.testing.assert_close(nothing, before)


def test_parts_have_the_names_of_the_converted_repositories(pipe) -> None:
    assert {*pipe.components} == {
        "tokenizer", "text_encoder", "vae", "scheduler", "transformer", "audio_encoder", "audio_processor"
    }  # fmt: skip
