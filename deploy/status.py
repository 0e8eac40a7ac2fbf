"""How every Space of the federation is, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy import remote as remotes
from deploy.hub import Hub
from deploy.targets import Target


def status(hub: Hub, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """One row a Space: stage, hardware, whether the head commit is what runs, and its deploy tag."""

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
            "ours": remote.ours,
            "tag": (remote.deployed or [None])[0],
            "url": remote.host,
        }

    return hub.each(row, targets)


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
    return "\n".join(lines)
