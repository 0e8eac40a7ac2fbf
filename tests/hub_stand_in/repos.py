"""What the stand-in Hub remembers of a Space: commits, tags, pull requests, settings and build stages."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".mp4", ".png", ".webp", ".onnx", ".model", ".npz")
LFS_BYTES = 10 * 1024 * 1024
START = datetime(2026, 11, 22, tzinfo=UTC)
_seconds = itertools.count()
GITATTRIBUTES = "".join(f"*{s} filter=lfs diff=lfs merge=lfs -text\n" for s in LFS_SUFFIXES).encode()


def git_oid(data: bytes) -> str:
    """The blob id that git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub stores this file outside of git."""
    return path.endswith(LFS_SUFFIXES) or size > LFS_BYTES


@dataclass
class Commit:
    """One commit: its id, message and whole tree (path to bytes); each a second later than the one before."""

    id: str
    message: str
    tree: dict[str, bytes]
    date: datetime = field(default_factory=lambda: START + timedelta(seconds=next(_seconds)))


@dataclass
class Model:
    """A model repository to read: files, and sizes in bytes for those that are larger than a test would hold."""

    files: dict[str, bytes]
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class PullRequest:
    """A pull request holds its own commits on a ref of its own."""

    number: int
    title: str
    commits: list[Commit]
    status: str = "open"


@dataclass
class Repo:
    """A Space. `writes` lists every change in order, so that a test can say "nothing happened"."""

    id: str
    visibility: str = "public"
    hardware: str = "cpu-basic"
    sleep: int | None = None
    volumes: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list[PullRequest] = field(default_factory=list)
    stages: list[tuple[str, str]] = field(default_factory=list)
    outcome: str = "RUNNING"
    host: str | None = None
    writes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=lambda: ["===== Build queued =====\n"])

    @property
    def head(self) -> Commit:
        """The tip of main."""
        return self.commits[-1]

    def find(self, ref: str) -> Commit | None:
        """A commit by branch, tag, pull request ref or id."""
        if ref in ("main", "refs/heads/main"):
            return self.head
        if ref.startswith("refs/pr/"):
            return self.pulls[int(ref[8:]) - 1].commits[-1]
        ref = self.tags.get(ref, ref)
        every = self.commits + [c for pull in self.pulls for c in pull.commits]
        return next((c for c in every if c.id == ref), None)

    def commit(self, tree: dict[str, bytes], message: str, pull: PullRequest | None = None) -> Commit:
        """Append to main (which starts a build) or to a pull request."""
        count = len(self.commits) + sum(len(p.commits) for p in self.pulls)
        new = Commit(hashlib.sha1(f"{self.id}{count}{message}".encode()).hexdigest(), message, dict(tree))
        if pull is not None:
            pull.commits.append(new)
            return new
        self.commits.append(new)
        if "app.py" in tree:
            # As on the Hub: the old build still says RUNNING for a moment, at its own sha.
            stale = [s for s in self.stages[:1] if s[0] == "RUNNING"]
            self.stages = [*stale, ("BUILDING", new.id), ("APP_STARTING", new.id), (self.outcome, new.id)]
        return new

    def restart(self) -> None:
        """What any settings change causes; an old failure still shows, in the answer and once after it."""
        if "app.py" in self.head.tree:
            old = [s for s in self.stages[-1:] if s[0].endswith("_ERROR")]
            self.stages = [*old, *old, ("APP_STARTING", self.head.id), (self.outcome, self.head.id)]

    def runtime(self, *, moves: bool = True) -> dict[str, Any]:
        """The runtime as the API tells it; every look `moves` a build one stage on."""
        stage, sha = self.stages[0] if self.stages else ("NO_APP_FILE", self.head.id)
        if moves and len(self.stages) > 1:
            self.stages.pop(0)
        return {
            "stage": stage,
            "hardware": {
                "current": self.hardware if stage == "RUNNING" else None,
                "requested": self.hardware,
            },
            "gcTimeout": self.sleep,
            "storage": None,
            "volumes": self.volumes,
            "sha": sha,
        }

    def file_info(self, path: str, data: bytes) -> dict[str, Any]:
        """A tree entry; LFS files carry their sha256 beside the pointer's blob id."""
        info: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_oid(data)}
        if is_lfs(path, len(data)):
            sha = hashlib.sha256(data).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(data)}\n"
            info["oid"] = git_oid(pointer.encode())
            info["lfs"] = {"oid": sha, "size": len(data), "pointerSize": len(pointer)}
        return info
