"""How every Space of the federation is, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy import remote as remotes
from deploy.hub import Hub
from deploy.remote import Remote
from deploy.targets import Target


def status(hub: Hub, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """One row a Space: stage, hardware, whether the head commit is what runs, and its deploy tag.

    With `commit`, that of this repository, where a mode has several places.
    """

    def row(target: Target) -> dict[str, Any]:
        remote = remotes.read(hub, target.repo_id)
        if remote is None:
            return {"space": target.repo_id, "mode": target.mode, "stage": "ABSENT"}
        return {
            "space": target.repo_id,
            "mode": target.mode,
            "stage": remote.stage,
            "hardware": remote.hardware,
            "sha": remote.sha,
            "running": remote.running_sha,
            "current": remote.running_sha in (None, remote.sha),
            "commit": _commit(hub, target, remote) if _several(target, targets) else None,
            "ours": remote.ours,
            "tag": (remote.deployed or [None])[0],
            "url": remote.host,
        }

    return hub.each(row, targets)


def _several(target: Target, targets: Sequence[Target]) -> bool:
    return target.mode is not None and sum(t.mode == target.mode for t in targets) > 1


def _commit(hub: Hub, target: Target, remote: Remote) -> str | None:
    """The commit of this repository that a Space's code comes from, as it runs."""
    sha = remotes.manifest(hub, target.repo_id, remote.running_sha or remote.sha).get("git_sha")
    return sha if isinstance(sha, str) else None


def skew(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each mode whose places run different commits. A router's files have others than a mode's."""
    lines: list[str] = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        commits = {r["space"]: r["commit"] for r in rows if r["mode"] == mode and r.get("commit")}
        if len(set(commits.values())) > 1:
            places = ", ".join(f"{space} runs {commit[:12]}" for space, commit in commits.items())
            lines.append(f"{mode} is not the same everywhere: {places}; push both for one version")
    return lines


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for a terminal."""
    lines: list[str] = []
    width = max((len(r["space"]) for r in rows), default=0)
    for r in rows:
        text = f"{r['space']:{width}}  {r['stage']:14}"
        if "hardware" in r:
            tag = r["tag"] or "no deploy tag: the last push did not finish, or its token may not tag"
            if not r["ours"]:
                tag = "not one of ours: no push has made it"
            text += f"  {r['hardware'] or '-':10}  {tag}" + (
                "" if r["current"] else "  (an older commit runs)"
            )
        lines.append(text)
    return "\n".join([*lines, *skew(rows)])
