"""Deployments: one name over the federation for what a push brings, and each Space's history of them.

The record is in the titles of the commits, which whoever may push may write. A tag says more: this very content
has been seen running.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from deploy import bundle as bundles
from deploy.errors import Conflict, DeployError, Missing, Refused
from deploy.federation import ROOT
from deploy.hub import Hub
from deploy.targets import Target

PREFIX = "deploy-"
BACK = "Back to "
UNTAGGED = " (files only)"
"""Ends the title of a commit by a trusted publisher, whose token may not set the tag that says "it ran"."""
_NAME = re.compile(rf"{PREFIX}(\d+)-(\w+)-([0-9a-f]{{8}})")


@dataclass(frozen=True, order=True)
class Deployment:
    """One state of the whole federation: a number that counts up, a git sha, and a hash of all bundles."""

    number: int
    sha: str
    content: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.number}-{self.sha}-{self.content}"


def parse(text: str) -> Deployment | None:
    """The deployment that a tag or a title names."""
    found = _NAME.search(text)
    return Deployment(int(found[1]), found[2], found[3]) if found else None


@dataclass(frozen=True)
class Entry:
    """A commit of one Space that belongs to a deployment. `ran` when it was seen running, or none could say."""

    deployment: Deployment
    sha: str
    ran: bool
    back: bool
    at: datetime


def title(deployment: Deployment, *, files_only: bool = False) -> str:
    """The title of a push's commit."""
    return f"Wan Studio {deployment}{UNTAGGED if files_only else ''}"


def current(hub: Hub, targets: Sequence[Target], root: Path = ROOT) -> Deployment:
    """The deployment that this checkout is, for all `targets` of the federation together.

    The newest one of the Hub where it has the same content: an interrupted push, or one job for each Space,
    goes on with it. Otherwise the next number.
    """
    content, shas = hashlib.sha256(), set[str]()
    for target in targets:
        try:
            manifest = bundles.build(target, root).manifest
        except DeployError as error:  # that Space's own failure, which its push will tell
            manifest = {"content": error.text, "git_sha": "unknown"}
        content.update(f"{target.repo_id}\0{manifest['content']}\n".encode())
        shas.add(manifest["git_sha"])
    digest = content.hexdigest()[:8]
    past = hub.each(lambda t: _past(hub, t.repo_id), targets)
    newest = max((e.deployment for entries in past for e in entries), default=None)
    if newest is not None and newest.content == digest:
        return newest
    sha = bundles.newest_sha(shas, root)
    return Deployment(newest.number + 1 if newest else 1, sha[:12], digest)


def _past(hub: Hub, repo_id: str) -> list[Entry]:
    try:
        refs = hub.call(
            f"list the tags of {repo_id}", lambda: hub.api.list_repo_refs(repo_id, repo_type="space")
        )
        return history(hub, repo_id, {t.name: t.target_commit for t in refs.tags})
    except (Missing, Refused):  # not there, or not for the token of one Space's job
        return []


def history(hub: Hub, repo_id: str, tags: Mapping[str, str]) -> list[Entry]:
    """The deployments of one Space, the oldest commit first. Missing when there is no such Space."""
    commits = hub.call(
        f"list the commits of {repo_id}", lambda: list(hub.api.list_repo_commits(repo_id, repo_type="space"))
    )
    tagged: dict[str, Deployment] = {}
    for name, sha in tags.items():
        if (found := parse(name)) is not None:
            tagged[sha] = max(found, tagged.get(sha, found))
    out: list[Entry] = []
    for commit in reversed(commits):
        found = tagged.get(commit.commit_id) or parse(commit.title)
        if found is None:
            continue  # by hand, or by somebody else
        ran = commit.commit_id in tagged or commit.title.endswith(UNTAGGED)
        back = commit.title.startswith(BACK)
        out.append(Entry(found, commit.commit_id, ran or back, back, commit.created_at))
    return out


def standing(entries: Sequence[Entry]) -> list[Entry]:
    """What is left of a history when rollbacks have taken away what they went back over; the last is now."""
    out: list[Entry] = []
    for entry in entries:
        known = [i for i, e in enumerate(out) if e.deployment == entry.deployment]
        if entry.back and known:
            del out[known[-1] + 1 :]
        if out and out[-1].deployment == entry.deployment:
            out[-1] = replace(entry, ran=entry.ran or out[-1].ran)
        else:
            out.append(entry)
    return out


def mark(hub: Hub, repo_id: str, deployment: Deployment, sha: str, tags: Mapping[str, str]) -> str:
    """Tag a commit as seen running; the words to show: the tag, or that it was refused.

    A tag of that name on an older commit, which has the same content, is moved. Refused, as a trusted
    publisher may be, it changes nothing of the deployment itself.
    """
    api, name = hub.api, str(deployment)
    if tags.get(name) == sha:
        return name
    try:
        if name in tags:
            hub.call(
                f"move the tag of {repo_id}", lambda: api.delete_tag(repo_id, tag=name, repo_type="space")
            )
        with contextlib.suppress(Conflict):  # an attempt that timed out had worked
            hub.call(
                f"tag {repo_id}", lambda: api.create_tag(repo_id, tag=name, revision=sha, repo_type="space")
            )
    except DeployError as error:
        return f"{name}, deployed but not tagged: {error.text}"
    return name
