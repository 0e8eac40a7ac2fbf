"""Looks for what would make a push fail or a Space useless, before anything is pushed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import SpaceHardware

from common.catalog import CHECKPOINTS, GpuSize
from common.contract import Backend
from common.cost import download_bytes
from common.errors import StudioError
from common.memory import Shape
from common.modes.all import MODES
from common.placement import ZEROGPU_BYTES, place, possible, shortage, zerogpu
from deploy import bundle as bundles
from deploy import hardware, volumes
from deploy.bake import repo_of
from deploy.errors import DeployError
from deploy.federation import ROOT, ZEROGPU
from deploy.hub import Hub
from deploy.requirements import TORCH
from deploy.targets import Target

ZEROGPU_SPACES = {"free": 2, "pro": 10, "team": 50, "enterprise": 50}
ZEROGPU_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
DISK_BYTES = 150e9
WRITE = "repo.write"
"""The permission of a fine-grained token, as whoami names it."""

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    level: Level
    text: str


def examine(hub: Hub, targets: Sequence[Target], root: Path = ROOT) -> list[Finding]:
    """Token and plan, ZeroGPU places, quota, secrets, volumes, torch, disk, and whether every bundle can be made."""
    findings: list[Finding] = []
    try:
        me = hub.account()
    except StudioError as error:
        return [Finding("problem", error.text), *_offline(targets, root)]
    namespace = targets[0].repo_id.split("/")[0]
    findings += [_token(me, namespace), *_places(hub, me, namespace, targets), *_quota(hub)]
    for target in targets:
        findings += _secrets(target)
        findings += [Finding("problem", f"{target.name}: {text}") for text in volumes.problems(hub, target)]
    return findings + _offline(targets, root)


def plan_of(me: dict[str, Any], namespace: str) -> str:
    """free, pro, team or enterprise, for the user or one of their organizations."""
    for org in me.get("orgs", []):
        if org.get("name") == namespace:
            return str(org.get("plan") or ("team" if org.get("isEnterprise") else "free")).lower()
    return "pro" if me.get("isPro") else "free"


def _token(me: dict[str, Any], namespace: str) -> Finding:
    role = me.get("auth", {}).get("accessToken", {}).get("role")
    owners = [me.get("name"), *(o.get("name") for o in me.get("orgs", []))]
    if namespace not in owners:
        return Finding(
            "problem", f"the token of {me.get('name')} does not belong to {namespace}; mend `namespace`"
        )
    if role == "read":
        return Finding(
            "problem", "the token may only read; make one with write access at hf.co/settings/tokens"
        )
    if role == "fineGrained" and (lack := _fine_grained(me, namespace)):
        return lack
    return Finding(
        "ok", f"token of {me.get('name')} ({role or 'unknown role'}), plan {plan_of(me, namespace)}"
    )


def _fine_grained(me: dict[str, Any], namespace: str) -> Finding | None:
    """What a fine-grained token lacks to make Spaces in the namespace and write to them."""
    scoped = me.get("auth", {}).get("accessToken", {}).get("fineGrained", {}).get("scoped", [])
    granted = [
        (str(s.get("entity", {}).get("name", "")), permission)
        for s in scoped
        for permission in s.get("permissions", [])
    ]
    if (namespace, WRITE) in granted:
        return None
    if any(name.startswith(f"{namespace}/") and p == WRITE for name, p in granted):
        return Finding(
            "warning",
            f"the fine-grained token may write to some repositories of {namespace} and make no new ones",
        )
    return Finding(
        "problem",
        f"the fine-grained token has no write access to {namespace}; at hf.co/settings/tokens give it "
        f'"Write access to contents/settings of all repos" under {namespace}',
    )


def _places(hub: Hub, me: dict[str, Any], namespace: str, targets: Sequence[Target]) -> list[Finding]:
    plan, ours = plan_of(me, namespace), {t.repo_id for t in targets}
    out: list[Finding] = []
    if plan == "free" and (cpu := [t.name for t in targets if t.hardware == "cpu-basic"]):
        # huggingface_hub 2.4: Gradio on cpu-basic "requires a subscription"; it was free until 2026.
        out.append(
            Finding(
                "problem",
                f"{', '.join(cpu)}: on cpu-basic a Gradio Space needs PRO or Team, and {namespace} has plan free; "
                "run the Studio on this machine: `wan-studio deploy local`",
            )
        )
    want = sum(t.hardware == ZEROGPU for t in targets)
    if not want:
        return out
    spaces = hub.call(
        f"list the Spaces of {namespace}",
        lambda: list(hub.api.list_spaces(author=namespace, expand=["runtime"])),
    )
    hardware = {s.id: s.runtime.requested_hardware or s.runtime.hardware for s in spaces if s.runtime}
    others = sum(h == ZEROGPU and i not in ours for i, h in hardware.items())
    limit = ZEROGPU_SPACES.get(plan, 2)
    text = f"{want} ZeroGPU Spaces here and {others} elsewhere in {namespace}; plan {plan} has {limit}"
    fits = want + others <= limit
    alone = f": push {limit} of them alone (`--only NAME`), each is a page of its own"
    way_out = alone if plan == "free" else ": take entries out of the file, or use `--profile demo`"
    return [*out, Finding("ok", text) if fits else Finding("problem", text + way_out)]


def _quota(hub: Hub) -> list[Finding]:
    try:
        quota = hub.call("ask for the ZeroGPU quota", hub.api.get_zero_gpu_quota)
    except DeployError as error:
        return [
            Finding("warning", f"{error.text}; a fine-grained token needs the permission to read billing")
        ]
    text = f"ZeroGPU quota: {quota.remaining / 60:.0f} of {quota.base / 60:.0f} minutes left"
    return [Finding("ok" if quota.remaining > 60 else "warning", text)]


def _secrets(target: Target) -> list[Finding]:
    """A push can go on without a secret that is on the Space already, and not make a Space without it."""
    return [
        Finding("warning", f"{target.name}: ${variable} is not set here; the first push needs it for {name}")
        for name, variable in target.secrets.items()
        if not os.environ.get(variable)
    ]


def _offline(targets: Sequence[Target], root: Path) -> list[Finding]:
    """What needs no network: versions, disk, bundles."""
    out: list[Finding] = []
    known = TORCH["torch"] in ZEROGPU_TORCH
    out.append(
        Finding(
            "ok" if known else "problem", f"torch {TORCH['torch']}; ZeroGPU has {', '.join(ZEROGPU_TORCH)}"
        )
    )
    known_hardware = {h.value for h in SpaceHardware}
    for target in targets:
        out += _disk(target)
        out += _memory(target)
        if target.hardware not in known_hardware:
            out.append(
                Finding(
                    "warning",
                    f"{target.name}: hardware {target.hardware} is not known here, and the Hub may refuse it; "
                    f"known: {', '.join(sorted(known_hardware))}",
                )
            )
        try:
            bundle = bundles.build(target, root)
        except DeployError as error:
            out.append(Finding("problem", f"{target.name}: {error.text}"))
            continue
        size = sum(len(d) for d in bundle.files.values()) / 1e6
        dirty = bundle.manifest["git_sha"].endswith("-dirty")
        note = "; it holds changes that are not committed" if dirty else ""
        text = f"{target.name}: bundle of {len(bundle.files)} files, {size:.1f} MB{note}"
        out.append(Finding("warning" if dirty else "ok", text))
    return out


def _tier(target: Target) -> GpuSize | None:
    """The tier of ZeroGPU that has to hold real weights, if any has."""
    given = target.variables.get("WAN_GPU_SIZE")
    lent = target.weights == "wan" and target.mode is not None and target.hardware == ZEROGPU
    return next((tier for tier in ZEROGPU_BYTES if tier == given), None) if lent else None


def _lent(target: Target, tier: GpuSize) -> Backend:
    """A tier of ZeroGPU to a Space, which finds its weights in 8 bits where it mounts such a repack."""
    names = {volume.source.split("/")[-1] for volume in target.volumes}
    thin = [key for key in target.checkpoints if repo_of(key, "", "fp8").strip("/") in names]
    return zerogpu(tier).model_copy(update={"in_8_bits": thin})


def _memory(target: Target) -> list[Finding]:
    """Whether a Space's tier of ZeroGPU holds its checkpoint at every size that it offers, and how."""
    tier = _tier(target)
    if tier is None or target.mode is None:
        return _dedicated(target)
    mode, row, backend = MODES[target.mode], CHECKPOINTS[target.checkpoints[0]], _lent(target, tier)
    most, why = 0, ""
    for size in row.sizes("wan"):
        job = mode.job(Shape(size.width, size.height, row.at_once("wan"), row.references))
        placed = place(row, "wan", backend, job)
        if placed is None:
            text = f"{target.name}: {shortage(row, 'wan', backend, job)}"
            way_out = ' or set gpu_size = "xlarge"' if tier == "large" else ""
            return [Finding("problem", f"{text}; choose another checkpoint{way_out}")]
        if placed.peak_bytes > most:
            most, why = placed.peak_bytes, "; ".join(placed.why)
    text = f"{target.name}: {row.name} takes {most / 1e9:.0f} of {backend.memory_bytes / 1e9:.0f} GB"
    text += " by our count, unverified on ZeroGPU" + (f": {why}" if why else "")
    if mode.most_references:
        largest = max(row.sizes("wan"), key=lambda size: size.area)
        shape = Shape(largest.width, largest.height, row.at_once("wan"), max(mode.most_references, row.references))
        size, frames = possible(row, "wan", backend, mode.job(shape))[0]
        text += (
            f"; with {mode.most_references} reference pictures {size.size} and {frames} frames at the most"
        )
    return [Finding("ok", text)]


def _dedicated(target: Target) -> list[Finding]:
    """Whether the card of a Space's own hardware holds each of its checkpoints at every size."""
    machine = hardware.backend(target.hardware)
    if target.mode is None or target.weights != "wan" or machine is None:
        return []
    lacks = [lack for key in target.checkpoints if (lack := hardware.lack(target.mode, key, machine))]
    way_out = "`wan-studio deploy plan --hardware` lists what holds it"
    return [Finding("problem", f"{target.name}: {lack}; {way_out}") for lack in lacks]


def _disk(target: Target) -> list[Finding]:
    """Downloads and ZeroGPU's packed copy share one disk."""
    if target.weights != "wan" or target.volumes:
        return []
    rows = [CHECKPOINTS[k] for k in target.checkpoints]
    download, packed = sum(download_bytes(c) for c in rows), _packed(target)
    if download + packed <= DISK_BYTES:
        return []
    return [
        Finding(
            "problem",
            f"{target.name}: {download / 1e9:.0f} GB of weights and a packed copy of {packed / 1e9:.0f} GB "
            f"do not fit the Space's {DISK_BYTES / 1e9:.0f} GB; mount a bf16 repack (docs/deploy.md)",
        )
    ]


def _packed(target: Target) -> int:
    """Bytes of the one checkpoint that ZeroGPU packs, in the form that its tier has it in."""
    tier = _tier(target)
    if tier is None or target.mode is None:
        return 0
    row, mode = CHECKPOINTS[target.checkpoints[0]], MODES[target.mode]
    size = row.sizes("wan")[0]
    placed = place(row, "wan", _lent(target, tier), mode.job(Shape(size.width, size.height, 1)))
    return placed.weight_bytes if placed else 0
