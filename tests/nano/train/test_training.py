"""What training computes is what the pipelines compute; short runs lower the loss."""

from __future__ import annotations

import random
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import nano
from nano.kinds import kind_named

SMALL = ((64, 64, 5, 1.0),)


@lru_cache
def pipeline(class_name: str, kind: str):
    """Loaded once for the file, with a VAE that is quick on a CPU."""
    from nano.judge.cases import load

    return load(kind, "cpu", class_name)


@pytest.mark.parametrize("name", ["vae-2.1", "vae-2.2"])
@pytest.mark.parametrize("frames", [1, 9])
def test_the_whole_clip_vae_is_the_chunked_vae(name, frames):
    from nano.train.parts import new_vae
    from nano.train.whole_clip import WholeClip

    vae = new_vae(name).eval()
    clip = torch.rand(1, 3, frames, 32, 32) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(clip).latent_dist
        plain = vae.decode(posterior.mean).sample
        whole = WholeClip(vae)
        mean, log_variance = whole.moments(clip)
        made = whole.decode(mean).clamp(-1, 1)
        whole.restore()
        assert torch.allclose(vae.decode(posterior.mean).sample, plain)
    assert torch.allclose(mean, posterior.mean, atol=1e-4)
    assert torch.allclose(log_variance, posterior.logvar, atol=1e-4)
    assert torch.allclose(made, plain, atol=1e-4)


@pytest.mark.parametrize("name", nano.KINDS)
def test_the_fast_blocks_are_the_real_ones(name):
    from nano.kinds import CLIP_DIM, CLIP_TOKENS
    from nano.train.fast_blocks import know_faces, motions, prepare_for_training, short_context
    from nano.train.parts import new_transformer
    from nano.train.texts import LENGTH

    kind = kind_named(name)
    model = new_transformer(kind, "transformer").eval()
    text = torch.randn(2, LENGTH, 96)
    side = 4
    noisy = torch.randn(2, kind.transformer["in_channels"], 2, side, side)
    time = torch.rand(2, 2 * side * side // 4) * 1000 if name == "ti2v" else torch.tensor([900.0, 300.0])
    extra = {}
    if kind.clip:
        pictures = 4 if name == "flf2v" else 2
        extra["encoder_hidden_states_image"] = torch.randn(pictures, CLIP_TOKENS, CLIP_DIM)
    if "vace_in_channels" in kind.transformer:
        extra["control_hidden_states"] = torch.randn(2, 96, 2, side, side)
    if name == "animate":
        extra["pose_hidden_states"] = torch.randn(2, 16, 1, side, side)
        size = kind.transformer["motion_encoder_size"]
        extra["face_pixel_values"] = torch.rand(2, 3, 1, size, size) * 2 - 1
        for adapter in model.face_adapter:
            torch.nn.init.normal_(adapter.to_out.weight)  # so that the faces matter
    if name == "s2v":
        extra = {
            "audio_embeds": torch.randn(2, 3, kind.transformer["audio_dim"], 8),
            "image_latents": torch.randn(2, 16, 1, 8, 8),
            "motion_latents": torch.randn(2, 16, 1, 8, 8),
            "motion_frames": (1, 1),
        }
        noisy = torch.randn(2, 16, 2, 8, 8)
    inputs = {"hidden_states": noisy, "timestep": time, "return_dict": False, **extra}
    with torch.no_grad():
        padded = F.pad(text, (0, 0, 0, 512 - LENGTH))
        real = model(encoder_hidden_states=padded, **inputs)[0]
        fast = prepare_for_training(model)(encoder_hidden_states=short_context(text), **inputs)[0]
        if name == "animate":
            inputs["face_pixel_values"] = motions(model, extra["face_pixel_values"])
            know_faces(model)
            known = model(encoder_hidden_states=short_context(text), **inputs)[0]
            assert torch.allclose(real, known, atol=1e-4)
    assert torch.allclose(real, fast, atol=1e-4)


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("posed", [False, True])
def test_speeches_are_conditioned_as_the_pipeline_does_it(monkeypatch, later, posed):
    """The training's call of the transformer is the pipeline's, but for rounding and the frames in between."""
    import numpy as np

    from common.speech import NANO_CLIPS
    from nano.judge.speeches import load_speaker
    from nano.train import conditions, speeches
    from nano.train.flow import velocity
    from nano.train.texts import LENGTH
    from nano.train.whole_clip import WholeClip

    torch.manual_seed(0)
    random.seed(0)
    monkeypatch.setattr(speeches, "worn", lambda tail: tail)
    pipe = load_speaker("cpu")
    shown = speeches.speech(pipe.audio_encoder, 1, 64, 64, "cpu", later=later, posed=posed)
    whole = WholeClip(pipe.vae)
    shelf = conditions._spoken(whole, shown, "cpu").take(torch.tensor([0]))
    whole.restore()

    seen = {}

    def call(**given):
        seen.update(given)
        return (torch.zeros_like(given["hidden_states"]),)

    def pixels(clip):
        return ((clip[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte().numpy()

    kept = pipe.transformer.forward
    monkeypatch.setattr(pipe.transformer, "forward", call)
    pipe(
        image=Image.fromarray(pixels(shown.picture[:, :, None])[0]),
        audio_embeds=shown.audio,
        prompt="a",
        tail=np.ascontiguousarray(pixels(shown.before)) if later else None,
        pose_video=None if shown.poses is None else np.ascontiguousarray(pixels(shown.poses)),
        num_inference_steps=1,
        guidance_scale=1.0,
        output_type="latent",
    )
    theirs = dict(seen)
    text = torch.zeros(1, LENGTH, 96)
    velocity(pipe.transformer, kind_named("s2v"), shelf, shelf.latents, torch.tensor([0.5]), text)
    monkeypatch.setattr(pipe.transformer, "forward", kept)
    for name in ("motion_frames", "drop_motion_frames"):
        assert seen[name] == theirs[name]
    assert seen["hidden_states"].shape == theirs["hidden_states"].shape
    assert shelf.latents.shape[2] == NANO_CLIPS.frames // 4
    seen.setdefault("pose_latents", None)
    assert (seen["pose_latents"] is not None) == (theirs["pose_latents"] is not None) == posed
    for name in ("audio_embeds", "image_latents", "motion_latents", *["pose_latents"] * posed):
        gap = (seen[name] - theirs[name]).norm() / theirs[name].norm().clamp(min=1)
        assert gap < 0.02, name


@pytest.mark.parametrize(
    "task", ["inpaint", "half", "large", "outpaint", "extend", "control", "reference", "free", "box"]
)
def test_vace_conditions_are_the_pipelines(task):
    from nano.train import conditions
    from nano.train.whole_clip import WholeClip
    from nano.train.world import random_scenes, render

    pipe = pipeline("WanVACEPipeline", "vace")
    torch.manual_seed(3)
    scenes = random_scenes(1)
    clip, cover = render(scenes, 5, 64, 64)

    def seed() -> None:
        random.seed(1)
        torch.manual_seed(1)

    with torch.no_grad():
        seed()
        whole = WholeClip(pipe.vae)
        mine, _ = conditions.vace_condition(whole, scenes, clip, cover, task)
        whole.restore()
        seed()
        video, mask = conditions._vace_video(scenes, clip, cover, task)
        pictures = [[conditions.reference_picture(clip, cover)[0]] if task == "reference" else []]
        mask = mask.expand(-1, 3, -1, -1, -1)
        latents = pipe.prepare_video_latents(video, mask, pictures, None, "cpu")
        theirs = torch.cat([latents, pipe.prepare_masks(mask, pictures, None)], 1)
    assert torch.allclose(mine, theirs, atol=1e-3)


@pytest.mark.parametrize("last", [False, True])
def test_image_conditions_are_the_pipelines(last):
    from nano.train.conditions import clip_pixels, image_condition
    from nano.train.whole_clip import WholeClip
    from nano.train.world import random_scenes, render

    pipe = pipeline("WanImageToVideoPipeline", "flf2v")
    clip, _ = render(random_scenes(1), 5, 64, 64)
    with torch.no_grad():
        whole = WholeClip(pipe.vae)
        mine = image_condition(whole, clip, last)
        whole.restore()
        end = clip[:, :, -1] if last else None
        _, theirs = pipe.prepare_latents(
            clip[:, :, 0], 1, 16, 64, 64, 5, torch.float32, torch.device("cpu"), None, None, end
        )
    assert torch.allclose(mine, theirs, atol=1e-3)
    from PIL import Image

    pixels = ((clip[0, :, 0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    seen = pipe.image_processor(images=Image.fromarray(pixels), return_tensors="pt").pixel_values
    assert (seen - clip_pixels(clip[:, :, 0])).abs().mean() < 0.02


def performances(count: int, frames: int, **more):
    """Some that are replaced and some that are animated, with carried frames and without."""
    from nano.train.performances import performance

    torch.manual_seed(5)
    random.seed(5)
    return performance(count, frames, 64, 96, "cpu")


def test_what_a_segment_is_given_is_the_pipelines():
    from nano.train.conditions import carried_condition
    from nano.train.whole_clip import WholeClip

    pipe = pipeline("WanAnimatePipeline", "animate")
    shown = performances(12, 9)
    with torch.no_grad():
        whole = WholeClip(pipe.vae)
        mine = carried_condition(whole, shown)
        whole.restore()
        for index in range(12):
            one = slice(index, index + 1)
            given, kept, carried = shown.given[one], shown.kept[one], int(shown.carried[index])
            scene = {}
            if shown.replaced[index]:
                scene = {"background_video": given, "mask_video": 1 - kept, "task": "replace"}
            theirs = pipe.prepare_prev_segment_cond_latents(
                given[:, :, :carried] if carried else None,
                **scene,
                segment_frame_length=9,
                start_frame=8 if carried else 0,
                height=64,
                width=96,
                prev_segment_cond_frames=carried or 1,
                device="cpu",
            )
            assert torch.allclose(mine[one], theirs, atol=1e-3)
    assert {(bool(r), int(c)) for r, c in zip(shown.replaced, shown.carried, strict=True)} == {
        (r, c) for r in (False, True) for c in (0, 1, 5)
    }


def test_a_reference_is_fitted_as_the_pipeline_fits_it():
    from PIL import Image

    from nano.train.performances import letterboxed

    pipe = pipeline("WanAnimatePipeline", "animate")
    picture = F.interpolate(torch.rand(1, 3, 6, 6), size=(96, 160), mode="bicubic").clamp(0, 1) * 2 - 1
    pixels = Image.fromarray(((picture[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
    theirs = pipe.vae_image_processor.preprocess(pixels, height=128, width=128, resize_mode="fill")
    mine = letterboxed(picture, 128, 128)
    assert (mine - theirs).abs().mean() < 0.02
    assert (mine[:, :, :20] == -1).all() and (theirs[:, :, :20] == -1).all()


def test_performances_are_drawn_as_the_tracker_draws_them():
    import numpy as np

    from nano.figure import drawn
    from nano.train.performances import figures, in_pixels

    shown = performances(3, 5)
    pictures = figures(shown.way, 64, 96)
    pixels = in_pixels(shown.way, 64, 96)
    for index in range(3):
        for frame in range(5):
            x, y, radius, angle = (float(p[index, frame]) for p in pixels)
            one = drawn(x, y, radius, angle, (96, 64)).astype(np.float32) / 127.5 - 1
            assert np.abs(one - pictures[index, :, frame].permute(1, 2, 0).numpy()).max() < 0.01


def test_a_performer_and_its_successor_are_in_the_box():
    shown = performances(12, 5)
    clip, driving = shown.clip[shown.replaced], shown.driving[shown.replaced]
    kept = shown.kept[shown.replaced]
    assert ((clip - driving).abs() * kept).max() == 0
    assert (shown.cover[shown.replaced] * kept).max() < 0.1
    other = shown.kept[~shown.replaced]
    assert (other == 0).all()


def test_random_noise_levels_stay_in_an_experts_range():
    from nano.train.flow import noise_range, random_sigmas

    for expert in ("transformer", "transformer_2"):
        low, high = noise_range(kind_named("moe"), expert)
        levels = random_sigmas(500, low, high, "cpu")
        assert levels.min() >= low - 1e-4 and levels.max() <= high + 1e-4


@pytest.mark.slow
def test_a_short_transformer_run_lowers_the_loss(monkeypatch):
    from nano.sums import WEIGHTS
    from nano.train import conditions
    from nano.train.schedule import Budget
    from nano.train.transformer import Frozen, load_transformer, train

    monkeypatch.setattr(conditions, "LAYOUTS", SMALL)
    torch.manual_seed(0)
    random.seed(0)
    kind = kind_named("dense")
    frozen = Frozen(kind, WEIGHTS, "cpu")
    shelves = conditions.fill_shelves(kind, frozen.vae, None, 64, "cpu", batch=16)
    model = load_transformer(kind, "transformer", None)
    _, losses = train(
        kind, "transformer", model, frozen, shelves, Budget(0, 120), batch=4, rate=2e-3, device="cpu"
    )
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_a_short_text_run_lowers_the_loss():
    from nano.train.text_encoder import train

    _, losses = train(steps=30, batch=24)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_a_short_vae_run_lowers_the_loss():
    import argparse

    from nano.train.parts import new_vae
    from nano.train.schedule import Budget
    from nano.train.vae import run_phase
    from nano.train.whole_clip import WholeClip

    torch.manual_seed(0)
    random.seed(0)
    args = argparse.Namespace(device="cpu", init=None, batch=0.03, full_from=2.0, rate=2e-3, kl=1e-3)
    whole = WholeClip(new_vae("vae-2.1"))
    first = run_phase(whole, "vae-2.1", Budget(0, 2), args, decoder_only=False)
    assert run_phase(whole, "vae-2.1", Budget(0, 20), args, decoder_only=False) < first


@pytest.mark.slow
def test_a_short_lightning_run_lowers_the_loss_and_its_file_is_read_back(monkeypatch, tmp_path):
    from nano.sums import WEIGHTS
    from nano.train import conditions, lora_file
    from nano.train.fast_blocks import prepare_for_training
    from nano.train.lightning import Student, distil, teacher_paths
    from nano.train.transformer import Frozen, load_transformer

    monkeypatch.setattr(conditions, "LAYOUTS", SMALL)
    torch.manual_seed(0)
    random.seed(0)
    kind = kind_named("i2v-moe")
    frozen = Frozen(kind, WEIGHTS, "cpu")
    folders = {name: WEIGHTS / kind.name / name for name in kind.experts}
    experts = {
        name: prepare_for_training(load_transformer(kind, name, folder)).eval().requires_grad_(False)
        for name, folder in folders.items()
    }
    (shelf,) = conditions.fill_shelves(kind, frozen.vae, None, 16, "cpu", batch=16)
    paths = [[teacher_paths(kind, experts, frozen, shelf, batch=16, steps=8)]]
    students = [Student(kind, name, model, 2e-3, {}) for name, model in experts.items()]
    assert len(list(distil(kind, experts, students, paths, 0, steps=60, batch=16))) == 2
    for student in students:
        assert sum(student.losses[-4:]) < 0.95 * sum(student.losses[:4])
    student = students[0]
    student.save(tmp_path / "lora.safetensors", rank=4)
    again = lora_file.read(tmp_path / "lora.safetensors", student.model)
    assert again.keys() == student.layers.keys()
    for name, layer in student.layers.items():
        down, up = again[name]
        whole = (layer.up @ layer.down).detach()
        assert len(down) == 4 and (up @ down - whole).norm() < 0.7 * whole.norm()


def test_vace_learns_to_keep_one_half_with_its_shape_and_to_make_the_other():
    from nano.train.conditions import beside_another, half_mask
    from nano.train.world import random_scenes

    torch.manual_seed(0)
    random.seed(0)
    for _ in range(4):
        clip, cover = beside_another(random_scenes(3), 5, 64, 64)
        mask = half_mask(cover)
        assert clip.shape == (3, 3, 5, 64, 64) and 0.35 < mask.mean() < 0.65
        assert (cover * (1 - mask)).max() == 0 and (cover.amax((1, 2, 3, 4)) > 0.5).all()
        kept = clip[(mask == 0).expand_as(clip)].reshape(3, 3, -1)
        assert (kept.amax(2) - kept.amin(2) > 0.3).any(1).all()  # another shape on its floor


def test_large_masks_hold_the_whole_way_of_a_shape_and_begin_at_an_edge():
    from nano.train.controls import side_masks
    from nano.train.world import random_scenes, render

    torch.manual_seed(0)
    random.seed(0)
    _, cover = render(random_scenes(12), 5, 64, 64)
    masks = side_masks(cover)
    assert (cover * (1 - masks)).max() < 0.02
    for mask in masks[:, 0]:
        edges = (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
        assert mask.mean() == 1 or sum(bool((edge == 1).all()) for edge in edges) == 1
        assert (mask == mask[:1]).all()
