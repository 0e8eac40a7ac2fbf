"""Looks into the repositories that are to be mounted: a Space without them downloads what its disk cannot hold."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from huggingface_hub import RepoFile

from common.catalog import CHECKPOINTS, Checkpoint
from common.runtime.model.weights import ORIGIN
from deploy.bake import repo_of
from deploy.errors import Missing
from deploy.federation import Volume
from deploy.hub import Hub
from deploy.targets import MODELS_ROOT, Target

INDEX = "model_index.json"
LEAST_BYTES_PER_PARAMETER = 1
"""Of the experts: weights of fewer bits are not published for Wan."""


def problems(hub: Hub, target: Target) -> list[str]:
    """A sentence with a way out for each mounted checkpoint that is missing or not whole."""
    out: list[str] = []
    for volume in target.volumes:
        key = volume.mount_path.removeprefix(f"{MODELS_ROOT}/")
        if volume.type != "model" or key not in target.checkpoints:
            continue  # mounted for something else
        if lack := _lack(hub, volume, key):
            namespace, command = target.repo_id.split("/")[0], f"`wan-studio deploy bake {key}"
            ours = {
                repo_of(key, namespace): f"run {command}`",
                repo_of(key, namespace, "fp8"): f"run {command} --fp8`",
            }
            way_out = ours.get(volume.source, "mend `volumes` in the federation file")
            out.append(f"the volume {volume.source} holds no complete pipeline ({lack}); {way_out} first")
    return out


def _lack(hub: Hub, volume: Volume, key: str) -> str:
    """What is missing of the checkpoint; empty when nothing is."""
    try:
        sizes = _sizes(hub, volume)
    except Missing:
        return "there is no such repository for this token"
    if INDEX not in sizes:
        return f"no {INDEX}"
    if wrong := _other_commit(hub, volume, CHECKPOINTS[key], ORIGIN in sizes):
        return wrong
    folders = {path.split("/")[0] for path in sizes if "/" in path}
    parts = {k for k, v in _read(hub, volume, INDEX).items() if isinstance(v, list) and v and v[0]}
    if missing := sorted(parts - folders):
        return f"no {missing[0]}/"
    for path in sorted(p for p in sizes if p.endswith(".safetensors.index.json")):
        folder = PurePosixPath(path).parent
        shards = {str(folder / name) for name in _read(hub, volume, path).get("weight_map", {}).values()}
        if missing := sorted(shards - sizes.keys()):
            return (
                f"{len(missing)} of the {len(shards)} shards of {folder}/ are not there, such as {missing[0]}"
            )
    weights = {p: n for p, n in sizes.items() if p.endswith(".safetensors")}
    if empty := sorted(p for p, n in weights.items() if not n):
        return f"{empty[0]} is empty"
    a = CHECKPOINTS[key].architecture
    have = sum(n for p, n in weights.items() if p.startswith("transformer"))
    least = LEAST_BYTES_PER_PARAMETER * a.parameters * a.experts
    return f"{have / 1e9:.1f} GB of experts, at least {least / 1e9:.0f} needed" if have < least else ""


def _other_commit(hub: Hub, volume: Volume, row: Checkpoint, repacked: bool) -> str:
    """Where the row pins a commit, a volume must be of that one: a repack says what it was made from."""
    if row.revision is None or not (repacked or volume.source == row.repo):
        return ""
    made_from = _read(hub, volume, ORIGIN).get("revision") if repacked else volume.revision
    return "" if made_from == row.revision else f"it is of commit {made_from}, and {row.revision} is pinned"


def _sizes(hub: Hub, volume: Volume) -> dict[str, int]:
    """Every file below the mounted folder, with its bytes."""
    api, below = hub.api, f"{volume.path.strip('/')}/" if volume.path else ""
    entries = hub.call(
        f"list the files of {volume.source}",
        lambda: list(
            api.list_repo_tree(volume.source, below or None, recursive=True, revision=volume.revision)
        ),
    )
    return {e.path.removeprefix(below): e.size for e in entries if isinstance(e, RepoFile)}


def _read(hub: Hub, volume: Volume, path: str) -> dict[str, Any]:
    name = f"{volume.path.strip('/')}/{path}" if volume.path else path
    return hub.read_json(volume.source, name, volume.revision)
