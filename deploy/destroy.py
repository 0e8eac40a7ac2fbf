"""Deletes the federation's Spaces, but only those that a push of ours has made."""

from __future__ import annotations

from collections.abc import Sequence

from deploy import remote as remotes
from deploy.hub import Hub
from deploy.targets import Target


def doomed(hub: Hub, targets: Sequence[Target]) -> tuple[list[Target], list[str]]:
    """The Spaces that would be deleted, router first, and sentences about those that would not."""
    gone: list[Target] = []
    kept: list[str] = []
    for target in sorted(targets, key=lambda t: not t.is_router):
        remote = remotes.read(hub, target.repo_id)
        if remote is None:
            kept.append(f"{target.repo_id} does not exist")
        elif not remote.ours:
            kept.append(
                f"{target.repo_id} is not one of ours: no push has made it; delete it by hand at "
                f"huggingface.co/spaces/{target.repo_id}/settings"
            )
        else:
            gone.append(target)
    return gone, kept


def destroy(hub: Hub, targets: Sequence[Target]) -> None:
    """Delete them for good: files, history, tags, settings and secrets."""
    for target in targets:
        repo = target.repo_id
        hub.call(
            f"delete {repo}", lambda repo=repo: hub.api.delete_repo(repo, repo_type="space", missing_ok=True)
        )
        hub.say(f"deleted {repo}")
