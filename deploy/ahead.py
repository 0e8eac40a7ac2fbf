"""Compiles a checkpoint's blocks ahead, on a machine that compiles: with real jobs, whose forms are those to come."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.catalog import CHECKPOINTS, Checkpoint
from common.contract import Backend
from common.errors import InputError
from common.modes.all import MODES
from common.modes.base import Mode
from common.placement import quick
from common.settings import SpaceSettings
from deploy import bake
from deploy.hub import Hub

STEPS = 3
"""The first and the last are exact, the one between in 8 bits."""
EXAMPLES = Path(__file__).parents[1] / "common" / "examples"


def check(checkpoint: str) -> None:
    """InputError where this machine, or this checkpoint on any, compiles nothing: before any work."""
    from common.runtime.device.backend import detect

    here = detect(SpaceSettings(weights="wan"), checkpoint)
    if not quick(CHECKPOINTS[checkpoint], here):
        raise InputError("--compiled", _rule(here), hint="leave it out: blocks are compiled at the first clip")


def _rule(here: Backend) -> str:
    if here.compiles:
        return "is for checkpoints whose blocks are compiled, which those of Animate and S2V are not"
    return f"needs an H100 or H200 with a C compiler, where blocks are compiled; this is {here.name}"


def compiled(hub: Hub, checkpoint: str, target: str, form: bake.Form) -> list[str]:
    """Makes the jobs and writes the package of this machine's card into the repack `target`; its files there."""
    import launch
    from common.runtime.fast import packages

    row = CHECKPOINTS[checkpoint]
    mode = next(mode for mode in MODES.values() if checkpoint in mode.checkpoints)
    launch.prepare_environment("wan")
    service = launch.load_space(mode.key).service
    for number, values in enumerate(jobs(mode, row)):
        _make(hub, service, mode.parse(values), fresh=number < len(sizes(row)))
    with tempfile.TemporaryDirectory(prefix="wan-bake-") as folder:
        files = packages.save(Path(folder), checkpoint)
        names = [file.relative_to(folder).as_posix() for file in files]
        for name, file in zip(names, files, strict=True):
            hub.say(f"  {name}, {file.stat().st_size / 1e6:.1f} MB")
            bake.send(hub, target, name, file, form)
    return names


def jobs(mode: Mode[Any], row: Checkpoint) -> Iterator[dict[str, Any]]:
    """Requests that meet the forms that clips of the usual length have: each size as the first of a process; then one
    that follows another size, whose form torch makes for any. A LoRA makes none: it is part of the weights.
    """
    values = dict(mode.nano_examples[-1].values)  # its media are here; VACE's last needs no model to prepare it
    for name in {slot.name for slot in mode.slots} & values.keys():
        values[name] = {"path": str(EXAMPLES / values[name])}
    preset = next(iter(row.presets))
    steps = {} if row.presets[preset].dmd_denoising_steps else {"num_inference_steps": STEPS}
    firsts = sizes(row)
    for size in [*firsts, *firsts[:1]] if len(firsts) > 1 else firsts:
        yield {
            **values, "checkpoint": row.key, "preset": preset, "seed": 1, "num_frames": row.num_frames,
            "width": size.width, "height": size.height, "guidance_scale": 1.0, **steps,
        }  # fmt: skip


def sizes(row: Checkpoint) -> list[Any]:
    """One of each area: turned by a quarter, a clip has as many tokens."""
    return [*{size.area: size for size in reversed(row.sizes("wan"))}.values()]


def _make(hub: Hub, service: Any, request: Any, *, fresh: bool) -> None:
    from torch import _dynamo as dynamo

    if fresh:  # as in a new process, whatever was compiled before
        dynamo.reset()
    plan = service.plan(request)
    hub.say(f"  compiling for {plan.width}x{plan.height}, {plan.num_frames} frames")
    for path, _ in service.generate(request, plan):
        if path is not None:
            Path(path).unlink(missing_ok=True)
