"""A Space as the Hub has it now: files by blob id, settings, tags."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import RepoFile, SpaceSecret, SpaceVariable, Volume

from deploy.bundle import MANIFEST, MARK
from deploy.errors import Missing
from deploy.hub import Hub
from deploy.targets import WEIGHTS_VARIABLE

KEEP = (".gitattributes",)
"""Files that the Hub puts there itself."""
FIRST = frozenset({"README.md"})
"""What else the Hub may put into a new Space."""


@dataclass(frozen=True)
class Remote:
    """The state of one Space. `files` maps a path to what `content_id` gives for the same bytes.

    `ours` says whether a push has made it: its manifest bears our mark, or it is new and still empty, with
    the variables that a push creates it with.
    """

    sha: str
    files: Mapping[str, tuple[str, ...]]
    hardware: str | None
    sleep_seconds: int | None
    stage: str
    running_sha: str | None
    visibility: str | None
    private: bool
    host: str | None
    volumes: tuple[tuple[str, ...], ...]
    variables: Mapping[str, str]
    secrets: frozenset[str]
    ours: bool
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def deployed(self) -> list[str]:
        """Deploy tags on the current commit."""
        return [name for name, sha in self.tags.items() if sha == self.sha and name.startswith("deploy-")]


def content_id(data: bytes) -> tuple[str, str]:
    """What identifies these bytes on the Hub: the git blob id, or the sha256 where LFS stores them."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), hashlib.sha256(data).hexdigest()


def volume_id(volume: Volume) -> tuple[str, ...]:
    """A volume without the defaults that the Hub fills in."""
    return volume.type, volume.source, volume.mount_path, volume.revision or "main", volume.path or ""


def tree(hub: Hub, repo_id: str, revision: str) -> dict[str, tuple[str, ...]]:
    """Every file at a revision with its id."""
    api = hub.api
    entries = hub.call(
        f"list the files of {repo_id}",
        lambda: list(api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type="space")),
    )
    return {
        e.path: (e.lfs.sha256,) if e.lfs else (e.blob_id,)
        for e in entries
        if isinstance(e, RepoFile) and e.path not in KEEP
    }


def manifest(hub: Hub, repo_id: str, revision: str) -> dict[str, Any]:
    """What bundle.json says at a revision; {} where it is no table of ours."""
    found = hub.read_json(repo_id, MANIFEST, revision, "space")
    return found if MARK in found else {}


def read(hub: Hub, repo_id: str, *, settings: bool = True) -> Remote | None:
    """The Space as it is, or None when there is none (or none that the token may see).

    Without `settings`, variables and secrets are not asked for: a trusted publisher's token may not.
    """
    api = hub.api
    try:
        info = hub.call(f"look at {repo_id}", lambda: api.space_info(repo_id))
    except Missing:
        return None
    runtime = hub.call(f"ask how {repo_id} is", lambda: api.get_space_runtime(repo_id))
    variables: dict[str, SpaceVariable] = {}
    secrets: dict[str, SpaceSecret] = {}
    if settings:
        variables = hub.call(f"read the variables of {repo_id}", lambda: api.get_space_variables(repo_id))
        secrets = hub.call(f"list the secrets of {repo_id}", lambda: api.get_space_secrets(repo_id))
    refs = hub.call(f"list the tags of {repo_id}", lambda: api.list_repo_refs(repo_id, repo_type="space"))
    sha = info.sha or ""
    hardware = runtime.requested_hardware or runtime.hardware
    files = tree(hub, repo_id, sha)
    if MANIFEST in files:
        ours = bool(manifest(hub, repo_id, sha))
    else:
        ours = files.keys() <= FIRST and WEIGHTS_VARIABLE in variables
    return Remote(
        sha=sha,
        files=files,
        hardware=str(getattr(hardware, "value", hardware)) if hardware else None,
        sleep_seconds=runtime.sleep_time,
        stage=str(getattr(runtime.stage, "value", runtime.stage)),
        running_sha=runtime.raw.get("sha"),
        visibility=getattr(info, "visibility", None),
        private=bool(info.private),
        host=info.host,
        volumes=tuple(sorted(volume_id(v) for v in runtime.volumes or [])),
        variables={k: v.value for k, v in variables.items()},
        secrets=frozenset(secrets),
        ours=ours,
        tags={t.name: t.target_commit for t in refs.tags},
    )
