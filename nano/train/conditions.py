"""What each kind sees beside the noise: cached latents of clips, first frames, masks and controls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nano.kinds import CLIP, Kind
from nano.train.controls import depth_video, edge_video, gray_video, random_masks, side_masks, track_video
from nano.train.performances import Performance, performance
from nano.train.speeches import Speech, speech
from nano.train.whole_clip import WholeClip
from nano.train.world import Scenes, random_scenes, render
from nano.words import COLOURS, SHAPES

# Height, width, frames and the share of the cache; every further length is rarer.
LAYOUTS = (
    (128, 128, 17, 0.56),
    (128, 192, 17, 0.13),
    (192, 128, 17, 0.13),
    (128, 128, 5, 0.08),
    (128, 128, 33, 0.05),
    (128, 128, 1, 0.05),
)
PERFORMED = (
    (128, 128, 17, 0.50),
    (128, 192, 17, 0.17),
    (192, 128, 17, 0.17),
    (128, 128, 9, 0.08),
    (128, 128, 5, 0.08),
)
"""The same for segments of a performance."""
SPOKEN = ((128, 128, 16, 0.5), (128, 192, 16, 0.25), (192, 128, 16, 0.25))
"""The same for clips of speech."""


@dataclass
class Shelf:
    """Samples of one layout: everything that a training step needs, on the GPU in fp16."""

    scenes: Scenes
    latents: Tensor
    weight: Tensor  # [n, 1, t, h, w], more where the shape is
    extra: dict[str, Tensor] = field(default_factory=dict)

    def take(self, index: Tensor) -> Shelf:
        extra = {name: value[index].float() for name, value in self.extra.items()}
        return Shelf(self.scenes[index], self.latents[index].float(), self.weight[index].float(), extra)


def latent_weight(cover: Tensor, like: Tensor) -> Tensor:
    """3 where the shape is in a latent cell at some time, 1 elsewhere."""
    _, _, frames, height, width = like.shape
    step = cover.shape[-1] // width
    flat = F.max_pool2d(cover.transpose(1, 2).flatten(0, 1), step)
    per_frame = flat.view(cover.shape[0], cover.shape[2], height, width)
    parts = [per_frame[:, :1]] + [
        per_frame[:, 1 + 4 * i : 5 + 4 * i].amax(1, keepdim=True) for i in range(frames - 1)
    ]
    return 1 + 2 * torch.cat(parts, 1)[:, None]


def frame_mask(batch: int, frames: int, height: int, width: int, last: bool, device: Any) -> Tensor:
    """The four mask channels of the I2V input: which pixel frames of each latent frame are given."""
    mask = torch.zeros(batch, 4, (frames - 1) // 4 + 1, height, width, device=device)
    mask[:, :, 0] = 1
    if last:
        mask[:, 3, -1] = 1
    return mask


def image_condition(whole: WholeClip, clip: Tensor, last: bool) -> Tensor:
    """Mask and latents of the given frames among gray ones, as WanImageToVideoPipeline builds them."""
    given = torch.zeros_like(clip)
    given[:, :, 0] = clip[:, :, 0]
    if last:
        given[:, :, -1] = clip[:, :, -1]
    latents = whole.standard(given)
    height, width = latents.shape[-2:]
    mask = frame_mask(len(clip), clip.shape[2], height, width, last, clip.device)
    return torch.cat([mask, latents], 1)


def clip_pixels(frames: Tensor) -> Tensor:
    """Pictures [n, 3, h, w] in −1…1 as CLIPImageProcessor gives them."""
    size = CLIP["image_size"]
    small = F.interpolate((frames + 1) / 2, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    mean = frames.new_tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    deviation = frames.new_tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return (small - mean) / deviation


def see(clip_model: Any, frames: Tensor) -> Tensor:
    """Image tokens [n, 17, d] as the pipelines take them: the last hidden layer but one."""
    return clip_model(pixel_values=clip_pixels(frames), output_hidden_states=True).hidden_states[-2]


def vace_condition(
    whole: WholeClip, scenes: Scenes, clip: Tensor, cover: Tensor, task: str
) -> tuple[Tensor, Tensor | None]:
    """The 96 control channels for one VACE task, and the latents of a reference where the task has one."""
    frames = clip.shape[2]
    video, mask = _vace_video(scenes, clip, cover, task)
    inactive, reactive = whole.standard(video * (1 - mask)), whole.standard(video * mask)
    t, h, w = inactive.shape[-3:]
    cells = mask[:, 0].view(len(clip), frames, h, 8, w, 8).permute(0, 3, 5, 1, 2, 4).flatten(1, 2)
    cells = F.interpolate(cells, size=(t, h, w), mode="nearest-exact")
    control = torch.cat([inactive, reactive, cells], 1)
    if task != "reference":
        return control, None
    latent = whole.standard(reference_picture(clip, cover)[:, :, None])
    head = torch.cat([latent, torch.zeros_like(latent), torch.zeros_like(cells[:, :, :1])], 1)
    return torch.cat([head, control], 2), latent


def _vace_video(scenes: Scenes, clip: Tensor, cover: Tensor, task: str) -> tuple[Tensor, Tensor]:
    """The clip and mask that the pipeline is given; never what the model has to make where the mask is 1."""
    count, _, frames, height, width = clip.shape
    mask = torch.ones_like(cover)
    match task:
        case "inpaint":
            # Under the mask is another shape on the same track, or gray: copying it would be wrong.
            other = _replaced(scenes, shape=True)
            old, old_cover = render(other, frames, height, width)
            mask = random_masks(count, frames, height, width, torch.maximum(cover, old_cover))
            return old * (1 - mask * random.randint(0, 1)), mask
        case "large":
            # All of one side, from wherever the shape leaves room: most of the picture is made.
            other = _replaced(scenes, shape=True)
            old, old_cover = render(other, frames, height, width)
            mask = side_masks(torch.maximum(cover, old_cover))
            return old * (1 - mask * random.randint(0, 1)), mask
        case "half":
            mask = half_mask(cover)
        case "box":
            mask = random_masks(count, frames, height, width).to(clip.device)
        case "outpaint":
            top, bottom, left, right = (random.randint(0, 40) for _ in range(4))
            mask[..., top : height - bottom, left : width - right] = 0
        case "extend":
            kept = random.choice((1, 5, 9)) if frames > 9 else 1
            mask[:, :, slice(0, kept) if random.random() < 0.7 else slice(-kept, None)] = 0
        case "control":
            # Gray keeps the old colour's brightness, which must not overrule the prompt.
            old = render(_replaced(scenes, shape=False), frames, height, width)[0]
            maker = random.choice((0, 1, 2, 2, 3, 3))
            makers = (lambda: gray_video(old), lambda: depth_video(cover), lambda: edge_video(cover))
            return (makers[maker]() if maker < 3 else track_video(cover)), mask
        case _:  # "free" or "reference"
            return torch.zeros_like(clip), mask
    return clip * (1 - mask), mask


def beside_another(scenes: Scenes, frames: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Clips whose one part shows `scenes` and whose other part another shape that nobody speaks of.

    The cover is that of `scenes` alone, and nowhere in the other part; both have the same background.
    """
    seam = random.randint(round(0.4 * width), round(0.6 * width))
    told_left = random.random() < 0.5
    ours, theirs = (seam, width - seam) if told_left else (width - seam, seam)
    other = random_scenes(len(scenes), theirs / height, device=scenes.x.device)
    other = replace(other, background=scenes.background)
    narrow = replace(scenes, x=scenes.x * ours / width, radius=scenes.radius * (ours / width) ** 0.5)
    clip, cover = render(narrow, frames, height, ours)
    old, old_cover = render(other, frames, height, theirs)
    nothing = torch.zeros_like(old_cover)
    if told_left:
        return torch.cat([clip, old], -1), torch.cat([cover, nothing], -1)
    return torch.cat([old, clip], -1), torch.cat([nothing, cover], -1)


def half_mask(cover: Tensor) -> Tensor:
    """1 on the side of the seam where `beside_another` put what is told."""
    columns = torch.nonzero(cover.amax((0, 1, 2, 3)) > 0)[:, 0]
    mask = torch.zeros_like(cover)
    mask[..., int(columns.min()) : int(columns.max()) + 1] = 1
    return mask


def _replaced(scenes: Scenes, *, shape: bool) -> Scenes:
    """The same scenes with another colour, and another shape if asked."""
    colour = torch.randint(len(COLOURS), scenes.colour.shape, device=scenes.colour.device)
    other = torch.randint(len(SHAPES), scenes.shape.shape, device=scenes.colour.device)
    return replace(scenes, colour=colour, shape=other if shape else scenes.shape)


def reference_picture(clip: Tensor, cover: Tensor) -> Tensor:
    """The first frame, half of the time with the shape cut out on white, as reference photos often are."""
    picture, there = clip[:, :, 0], cover[:, :, 0]
    cut = there * picture + (1 - there)
    chosen = torch.rand(len(clip), 1, 1, 1, device=clip.device) < 0.5
    return torch.where(chosen, cut, picture)


VACE_TASKS = (
    "inpaint",
    "inpaint",
    "half",
    "large",
    "box",
    "outpaint",
    "extend",
    "control",
    "control",
    "control",
    "reference",
    "free",
)
SPEECH_TASKS = ("first", "first", "later", "later", "first posed", "later posed")


@torch.no_grad()
def fill_shelves(kind: Kind, vae: Any, sees: Any, count: int, device: str, batch: int = 32) -> list[Shelf]:
    """Renders and encodes `count` samples for a kind; `sees` is its CLIP, or what it hears with."""
    whole = WholeClip(vae)
    shelves: list[Shelf] = []
    for height, width, frames, share in {"animate": PERFORMED, "s2v": SPOKEN}.get(kind.name, LAYOUTS):
        tasks = {"vace": VACE_TASKS, "s2v": SPEECH_TASKS}.get(kind.name, ("",))
        if frames == 1 and kind.name not in ("dense", "moe", "ti2v"):
            continue
        # A shelf a shape: each costs a graph's memory in training.
        alike: dict[tuple[object, ...], list[Shelf]] = {}
        for task in sorted(set(tasks)):
            here = count * share * tasks.count(task) / len(tasks)
            for _ in range(max(1, round(here / batch))):
                part = _samples(kind, whole, sees, batch, height, width, frames, task, device)
                alike.setdefault((part.latents.shape, *sorted(part.extra)), []).append(part)
        shelves += [_joined(parts) for parts in alike.values()]
    whole.restore()
    return shelves


def _samples(
    kind: Kind,
    whole: WholeClip,
    sees: Any,
    batch: int,
    height: int,
    width: int,
    frames: int,
    task: str,
    device: str,
) -> Shelf:
    if kind.name == "s2v":
        how = {"later": "later" in task, "posed": "posed" in task}
        return _spoken(whole, speech(sees, batch, height, width, device, **how), device)
    if kind.name == "animate":
        return _performed(kind, whole, sees, performance(batch, frames, height, width, device), device)
    scenes = random_scenes(batch, width / height, device=device)
    draw = beside_another if task == "half" else render
    clip, cover = draw(scenes, frames, height, width)
    extra: dict[str, Tensor] = {}
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        latents = whole.standard(clip)
        weight = latent_weight(cover, latents)
        if kind.transformer["in_channels"] == 36:
            extra["condition"] = image_condition(whole, clip, last=kind.name == "flf2v")
        if kind.clip:
            ends = (0, -1) if kind.name == "flf2v" else (0,)
            extra["picture"] = torch.stack([see(sees, clip[:, :, end]) for end in ends], 1)
        if kind.name == "vace":
            extra["control"], reference = vace_condition(whole, scenes, clip, cover, task)
            if reference is not None:
                latents = torch.cat([reference, latents], 2)
                weight = torch.cat([torch.ones_like(weight[:, :, :1]), weight], 2)
    half = {name: value.half() for name, value in extra.items()}
    return Shelf(scenes, latents.half(), weight.half(), half)


def _performed(kind: Kind, whole: WholeClip, clip_model: Any, shown: Performance, device: str) -> Shelf:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        reference = whole.standard(shown.reference[:, :, None])
        clean = whole.standard(shown.clip)
        weight = latent_weight(shown.cover, clean)
        extra = {
            "condition": torch.cat(
                [
                    torch.cat([torch.ones_like(reference[:, :4]), reference], 1),
                    carried_condition(whole, shown),
                ],
                2,
            ),
            "picture": see(clip_model, shown.picture)[:, None],
            "pose": whole.standard(shown.pose),
            "face": shown.faces(kind.transformer["motion_encoder_size"]),
        }
    # Place and colours are soon right: what takes long is the outline. The reference comes out first, for nobody.
    weight = torch.cat([torch.full_like(weight[:, :, :1], 0.3), 2 * weight - 1], 2)
    half = {name: value.half() for name, value in extra.items()}
    return Shelf(shown.scenes, torch.cat([reference, clean], 2).half(), weight.half(), half)


def _spoken(whole: WholeClip, shown: Speech, device: str) -> Shelf:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        # The pipeline decodes a clip behind its tail, and a first one behind the picture.
        latents = whole.standard(torch.cat([shown.before, shown.clip], 2))
        weight = latent_weight(torch.cat([torch.zeros_like(shown.before[:, :1]), shown.cover], 2), latents)
        extra = {"sound": shown.audio, "reference": whole.standard(shown.picture[:, :, None])}
    given = (shown.before.shape[2] - 1) // 4 + 1
    if shown.later:
        extra["motion"] = latents[:, :, :given]
    if shown.poses is not None:  # behind a frame in front, which the VAE takes alone
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            extra["poses"] = whole.standard(torch.cat([shown.poses[:, :, :1], shown.poses], 2))[:, :, 1:]
    half = {name: value.half() for name, value in extra.items()}
    # The outline is what takes long, and what the sound changes.
    return Shelf(shown.scenes, latents[:, :, given:].half(), (2 * weight[:, :, given:] - 1).half(), half)


def carried_condition(whole: WholeClip, shown: Performance) -> Tensor:
    """Mask and latents of what a segment is given, as WanAnimatePipeline builds them."""
    latents = whole.standard(shown.given)
    count, _, frames, height, width = shown.given.shape
    height, width = height // 8, width // 8
    kept = F.interpolate(shown.kept[:, 0], size=(height, width), mode="nearest")
    first = torch.arange(frames, device=kept.device) < shown.carried[:, None]
    kept = torch.maximum(kept, first[:, :, None, None].to(kept.dtype))
    kept = torch.cat([kept[:, :1].expand(-1, 4, -1, -1), kept[:, 1:]], 1)
    cells = kept.view(count, -1, 4, height, width).transpose(1, 2)
    return torch.cat([cells, latents], 1)


def _joined(parts: list[Shelf]) -> Shelf:
    scenes = Scenes(*(torch.cat([getattr(p.scenes, f.name) for p in parts]) for f in fields(Scenes)))
    extra = {name: torch.cat([p.extra[name] for p in parts]) for name in parts[0].extra}
    return Shelf(scenes, torch.cat([p.latents for p in parts]), torch.cat([p.weight for p in parts]), extra)
