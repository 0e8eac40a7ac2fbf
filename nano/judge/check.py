"""Judges the trained kinds by image measurement: `python -m nano.judge.check --kinds dense moe --count 100`."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nano.judge.acts import Act, acts, outside, perform
from nano.judge.cases import Case, Clip, add_lightning, as_array, box_mask, cases, edges, load, pil, run
from nano.judge.measure import look, psnr
from nano.judge.speeches import check_speeches, load_speaker, speeches
from nano.kinds import KINDS, kind_named
from nano.train.flow import quality
from nano.train.world import STILL, render
from nano.words import SHAPES

FIRST_SEED = 1_000_000
WANTED = ("background", "colour", "motion", "shape")


class Tally:
    """Adds up shares and means by name."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def words(self, prefix: str, case: Case, clip: Clip, only: tuple[str, ...] = WANTED) -> None:
        """Whether the clip shows what the sentence says."""
        seen = look(clip)
        for name in only:
            self.values[f"{prefix}/{name}"].append(float(getattr(seen, name) == case.wanted[name]))

    def add(self, name: str, value: float) -> None:
        self.values[name].append(float(value))

    def result(self) -> dict[str, dict[str, float]]:
        return {k: {"mean": round(float(np.mean(v)), 4), "n": len(v)} for k, v in self.values.items()}


def batches(all_cases: list[Case], size: int) -> list[list[Case]]:
    return [all_cases[i : i + size] for i in range(0, len(all_cases), size)]


def check_text(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """Quality, Fast with Lightning and Fast without it; for MoE also with one expert in both places."""
    pipe = load(kind, device)
    fast = kind_named(kind).lightning
    for group in batches(tests, batch):
        slow = list(run(pipe, kind, group))
        for case, clip in zip(group, slow, strict=True):
            tally.words("quality", case, clip)
        if fast:
            for case, clip in zip(group, run(pipe, kind, group, fast=True), strict=True):
                tally.words("fast-without-lora", case, clip)
    if kind == "moe":
        check_experts(pipe, tests[: max(len(tests) // 3, 2)], tally, batch)
    if fast:
        add_lightning(pipe, kind)
        for group in batches(tests, batch):
            for case, clip in zip(group, run(pipe, kind, group, fast=True), strict=True):
                tally.words("fast", case, clip)


def check_experts(pipe: Any, tests: list[Case], tally: Tally, batch: int) -> None:
    """What a wrong wiring of the two experts or of their guidance scales would make."""
    high, low = pipe.transformer, pipe.transformer_2
    wrong: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "high-for-both": (high, high, {}),
        "low-for-both": (low, low, {}),
        "experts-swapped": (low, high, {}),
        "guidance-at-high-only": (high, low, {"guidance_scale": 6.0, "guidance_scale_2": 1.0}),
        "guidance-at-low-only": (high, low, {"guidance_scale": 1.0, "guidance_scale_2": 6.0}),
    }
    for name, (first, second, scales) in wrong.items():
        pipe.transformer, pipe.transformer_2 = first, second
        for group in batches(tests, batch):
            for case, clip in zip(group, run(pipe, "moe", group, **scales), strict=True):
                tally.words(name, case, clip)
    pipe.transformer, pipe.transformer_2 = high, low


def check_layouts(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """T2V at the other sizes and lengths of the Studio."""
    del kind
    pipe = load("dense", device)
    for name, size, frames in (
        ("192x128", (128, 192), 17),
        ("128x192", (192, 128), 17),
        ("9-frames", (128, 128), 9),
        ("33-frames", (128, 128), 33),
    ):
        for group in batches(cases(len(tests), tests[0].seed, size, frames), batch):
            for case, clip in zip(group, run(pipe, "dense", group), strict=True):
                tally.words(name, case, clip)


def check_image(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """The first frame is kept, it is nearest to its own input, the motion follows the prompt."""
    del batch
    pipe = load(kind, device, "WanImageToVideoPipeline")
    pictures = [case.clip[0] for case in tests]
    for index, case in enumerate(tests):
        (clip,) = run(pipe, kind, [case], image=pil(case.clip[0]))
        _first_frame(tally, "quality", case, clip, pictures, index)
        tally.words("quality", case, clip, ("motion", "colour", "background", "shape"))
    if not kind_named(kind).lightning:
        return
    for name in ("fast-without-lora", "fast"):
        if name == "fast":
            add_lightning(pipe, kind)
        for index, case in enumerate(tests):
            (clip,) = run(pipe, kind, [case], fast=True, image=pil(case.clip[0]))
            _first_frame(tally, name, case, clip, pictures, index)
            tally.words(name, case, clip, ("motion", "colour", "background", "shape"))


def _first_frame(tally: Tally, prefix: str, case: Case, clip: Clip, pictures: list[Clip], index: int) -> None:
    scores = [psnr(clip[0], picture) for picture in pictures]
    tally.add(f"{prefix}/first-frame-psnr", scores[index])
    tally.add(f"{prefix}/first-frame-over-24dB", scores[index] >= 24)
    tally.add(f"{prefix}/first-frame-nearest", int(np.argmax(scores)) == index)


def check_ends(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """Both ends are kept and the track between them has no jump."""
    del batch
    pipe = load(kind, device)
    for case in tests:
        (clip,) = run(pipe, kind, [case], image=pil(case.clip[0]), last_image=pil(case.clip[-1]))
        for name, at in (("first", 0), ("last", -1)):
            score = psnr(clip[at], case.clip[at])
            tally.add(f"quality/{name}-frame-psnr", score)
            tally.add(f"quality/{name}-frame-over-22dB", score >= 22)
        seen = look(clip)
        jumps = np.hypot(np.diff(seen.x), np.diff(seen.y))
        tally.add("quality/continuous", bool(np.isfinite(jumps).all() and jumps.max() < 0.25))
        tally.words("quality", case, clip, ("motion",))


def check_v2v(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """T2V weights on a given clip: the track is kept, less so with strength, and the colour is the prompt's."""
    del kind, batch
    import diffusers

    whole = load("dense", device)
    parts = {name: whole.components[name] for name in ("tokenizer", "text_encoder", "transformer", "vae")}
    pipe: Any = diffusers.WanVideoToVideoPipeline(**parts, scheduler=whole.scheduler)  # pyright: ignore
    pipe.set_progress_bar_config(disable=True)
    for case in tests:
        old = replace(case.scenes, colour=(case.scenes.colour + 3) % 8)
        source = as_array(render(old, *case.clip.shape[:3])[0][0])
        true = look(case.clip)
        for strength in (0.3, 0.6, 0.8):
            (clip,) = run(pipe, "dense", [case], video=[pil(f) for f in source], strength=strength)
            seen = look(clip)
            gap = np.nanmean(np.hypot(seen.x - true.x, seen.y - true.y)) if np.isfinite(seen.x).any() else 2.0
            tally.add(f"strength-{strength}/position-error", float(gap))
            tally.words(f"strength-{strength}", case, clip, ("colour",))


def check_vace(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """Masks keep what is outside and follow the prompt inside; controls, extension, outpaint, references."""
    del batch
    pipe = load(kind, device)
    for case in tests:
        inpainted(pipe, kind, case, tally)

        (clip,) = run(pipe, kind, [case], video=edges(case))
        seen, true = look(clip), case.cover > 0.5
        overlap = (seen.masks & true).sum() / max((seen.masks | true).sum(), 1)
        tally.add("edges/iou", overlap)
        tally.add("edges/iou-over-0.6", overlap >= 0.6)
        tally.words("edges", case, clip, ("colour", "background"))

        (clip,) = run(pipe, kind, [case], **_extension(case))
        tally.add("extend/kept-psnr", psnr(clip[:5], case.clip[:5]))
        tally.words("extend", case, clip, ("motion", "colour"))

        side = np.zeros(case.cover.shape, bool)
        side[:, :, :32] = True
        frames = [
            pil(f * (1 - m[..., None]) + 0.5 * m[..., None]) for f, m in zip(case.clip, side, strict=True)
        ]
        white = [pil(np.repeat(m[..., None].astype(float), 3, 2)) for m in side]
        (clip,) = run(pipe, kind, [case], video=frames, mask=white)
        tally.add("outpaint/kept-psnr", psnr(clip[:, :, 32:], case.clip[:, :, 32:]))
        seam = np.abs(clip[:, :, 31] - clip[:, :, 32]).mean()
        tally.add("outpaint/seam-step", seam)
        tally.add("outpaint/no-seam", seam < 0.04)

        told = Case(case.seed, _vague(case), case.wanted, case.clip, case.cover, case.scenes)
        (clip,) = run(pipe, kind, [told], reference_images=[pil(case.clip[0])])
        tally.words("reference", case, clip, ("colour", "shape"))
    _halves(pipe, kind, tests, tally)


def inpainted(pipe: Any, kind: str, case: Case, tally: Tally) -> None:
    """What the mask leaves is kept and what it opens follows the prompt; upside down, neither."""
    mask = box_mask(case)
    frames = [pil(f * (1 - m[..., None]) + 0.5 * m[..., None]) for f, m in zip(case.clip, mask, strict=True)]
    white = [pil(np.repeat(m[..., None].astype(float), 3, 2)) for m in mask]
    (clip,) = run(pipe, kind, [case], video=frames, mask=white)
    tally.add("inpaint/outside-psnr", psnr(clip[~mask], case.clip[~mask]))
    tally.add("inpaint/outside-over-26dB", psnr(clip[~mask], case.clip[~mask]) >= 26)
    tally.words("inpaint", case, clip, ("colour", "shape"))

    black = [pil(1 - np.repeat(m[..., None].astype(float), 3, 2)) for m in mask]
    (clip,) = run(pipe, kind, [case], video=frames, mask=black)
    tally.add("inverted-mask/outside-over-26dB", psnr(clip[~mask], case.clip[~mask]) >= 26)
    tally.words("inverted-mask", case, clip, ("colour", "shape"))


def _halves(pipe: Any, kind: str, tests: list[Case], tally: Tally) -> None:
    """The left half is kept with the shape in it, the right one is made: each shows its own."""
    frames, height, width = tests[0].clip.shape[:3]
    half = width // 2
    seed = tests[0].seed
    left = cases(len(tests), seed, (height, half), frames)
    right = cases(len(tests), seed + 500_000, (height, half), frames)
    mask = np.zeros((frames, height, width), bool)
    mask[:, :, half:] = True
    white = [pil(np.repeat(m[..., None].astype(float), 3, 2)) for m in mask]
    for other, told in zip(left, right, strict=True):
        scenes = replace(other.scenes, background=told.scenes.background)
        kept = as_array(render(scenes, frames, height, half)[0][0])
        given = np.concatenate([kept, np.full_like(kept, 0.5)], 2)
        asked = Case(told.seed, told.prompt, told.wanted, given, told.cover, told.scenes)
        (clip,) = run(pipe, kind, [asked], video=[pil(frame) for frame in given], mask=white)
        tally.add("half/kept-psnr", psnr(clip[:, :, :half], kept))
        tally.words("half", told, clip[:, :, half:], ("colour", "shape"))


def _extension(case: Case) -> dict[str, Any]:
    given = np.full_like(case.clip, 0.5)
    given[:5] = case.clip[:5]
    mask = [pil(np.full_like(f, 0.0 if i < 5 else 1.0)) for i, f in enumerate(case.clip)]
    return {"video": [pil(f) for f in given], "mask": mask}


def _vague(case: Case) -> str:
    """The sentence without what the reference has to tell."""
    for word in (case.wanted["colour"] + " ",):
        text = case.prompt.replace(word, "", 1)
    for shape in SHAPES:
        text = text.replace(shape, "shape")
    return text


def check_ti2v(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """One folder, text alone and with a first frame."""
    check_text(kind, tests, tally, device, batch)
    picture = Tally()
    check_image(kind, tests, picture, device, batch)
    tally.values.update({f"image-{name}": value for name, value in picture.values.items()})


def check_animate(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """The character goes the driving shape's way, alone and in the driving clip's scene, and over a joint."""
    del batch
    pipe = load(kind, device)
    count, seed = len(tests), tests[0].seed
    for name, kept, frames, carried, size in (
        ("animate", False, 17, 1, (128, 128)),
        ("replace", True, 17, 1, (128, 128)),
        ("joined", False, 33, 1, (128, 192)),
        ("joined-replace", True, 29, 5, (192, 128)),
    ):
        for act in acts(count, seed, kept=kept, size=size, frames=frames):
            clip = perform(pipe, act, kept=kept, carried=carried)
            _performed(tally, name, act, clip, kept)
            if name == "animate":
                held = replace(act, driving=np.repeat(act.driving[:1], frames, 0))
                tally.add(
                    "held-pose/iou", _overlap(look(perform(pipe, held, kept=kept)).masks, act.case.cover)
                )


def _performed(tally: Tally, name: str, act: Act, clip: Clip, kept: bool) -> None:
    seen, true = look(clip), act.case.cover
    tally.add(f"{name}/iou", _overlap(seen.masks, true))
    tally.add(f"{name}/iou-over-0.6", _overlap(seen.masks, true) >= 0.6)
    for word in ("colour", "shape"):
        tally.add(f"{name}/{word}", getattr(seen, word) == act.case.wanted[word])
    tally.add(
        f"{name}/identity", all(getattr(seen, word) == act.case.wanted[word] for word in ("colour", "shape"))
    )
    tally.words(name, act.case, clip, ("background", "motion"))
    if kept:
        away = outside(act)
        score = psnr(clip[away], act.driving[away])
        tally.add(f"{name}/kept-psnr", score)
        tally.add(f"{name}/kept-over-26dB", score >= 26)
    if len(clip) > 17:
        tally.add(f"{name}/second-iou", _overlap(seen.masks[17:], true[17:]))
        there = look(act.case.clip)
        step = np.hypot(
            *(np.diff(p[16:18])[0] - np.diff(q[16:18])[0] for p, q in ((seen.x, there.x), (seen.y, there.y)))
        )
        tally.add(f"{name}/no-jump", step < 0.08)


def check_s2v(kind: str, tests: list[Case], tally: Tally, device: str, batch: int) -> None:
    """The picture's shape pulses with its own sound and with no other."""
    del kind, batch
    check_speeches(load_speaker(device), speeches(len(tests), tests[0].seed), tally)


def _overlap(masks: Any, cover: Clip) -> float:
    true = cover > 0.5
    return float((masks & true).sum() / max((masks | true).sum(), 1))


CHECKS: dict[str, Callable[[str, list[Case], Tally, str, int], None]] = {
    "dense": check_text,
    "layouts": check_layouts,
    "moe": check_text,
    "ti2v": check_ti2v,
    "i2v-clip": check_image,
    "i2v-moe": check_image,
    "flf2v": check_ends,
    "vace": check_vace,
    "v2v": check_v2v,
    "animate": check_animate,
    "s2v": check_s2v,
}


def check(kind: str, count: int, device: str, batch: int, first_seed: int = FIRST_SEED) -> dict[str, Any]:
    """Everything that one kind (or `v2v`, `layouts`) has to show, as a dictionary for JSON."""
    begun = time.monotonic()
    tests = cases(count, first_seed)
    if kind == "v2v":
        # A growing or spinning shape says little about a track; all that moves or stands does.
        tests = [case for case in tests if int(case.scenes.motion[0]) in (0, 1, 2, 3, STILL)]
    tally = Tally()
    CHECKS[kind](kind, tests, tally, device, batch)
    return {
        "kind": kind,
        "steps": quality(kind if kind in KINDS else "dense").num_inference_steps,
        "seeds": [first_seed, first_seed + count - 1],
        "seconds": round(time.monotonic() - begun, 1),
        "measures": tally.result(),
    }


def versions() -> dict[str, str]:
    import diffusers
    import transformers

    found = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    return found | {"transformers": transformers.__version__, "python": platform.python_version()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(CHECKS), default=list(CHECKS))
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--batch", type=int, default=6, help="text-only clips made at once")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--out", type=Path, help="folder for one JSON file a kind")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for kind in args.kinds:
        report: dict[str, Any] = check(kind, args.count, device, args.batch, args.first_seed)
        report["versions"] = versions()
        print(f"{kind} ({report['seconds']} s)")
        for name, value in report["measures"].items():
            print(f"  {name:40} {value['mean']:.4f}  n={value['n']}", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{kind}.{args.first_seed}.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
