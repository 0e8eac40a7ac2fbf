"""Takes a Space back to an earlier deployment: its files, and the settings that went with them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationCopy, CommitOperationDelete, hf_hub_download

from deploy import apply, wait
from deploy import remote as remotes
from deploy.bundle import MANIFEST
from deploy.errors import DeployError, Raced
from deploy.federation import Volume
from deploy.hub import Hub
from deploy.plan import Change, setting_changes
from deploy.push import REPLANS, Result
from deploy.remote import Remote
from deploy.targets import Target


@dataclass(frozen=True)
class Rollback:
    """A rollback of several Spaces; `tag` is None for "one deployment back"."""

    hub: Hub
    tag: str | None = None
    longest_wait: float = wait.LONGEST

    def run(self, targets: Sequence[Target]) -> list[Result]:
        """Modes in parallel, then the router; a failure stops no other Space."""
        results = self.hub.each(self.one, [t for t in targets if not t.is_router])
        return results + [self.one(t) for t in targets if t.is_router]

    def one(self, target: Target) -> Result:
        """Roll one Space back; errors become its result."""
        try:
            result = self._one(target)
        except DeployError as error:
            result = Result(target, "failed", error.text)
        self.hub.say(f"{result.outcome} {target.repo_id}: {result.text}")
        return result

    def _one(self, target: Target) -> Result:
        tag = ""
        for _ in range(REPLANS):
            remote = remotes.read(self.hub, target.repo_id)
            if remote is None:
                raise DeployError(f"{target.repo_id} does not exist; there is nothing to roll back")
            tag = tag or self.destination(target, remote)  # chosen once: a race must not move the goal
            old = remotes.tree(self.hub, target.repo_id, tag)
            self._restore_settings(target, remote, tag)
            if old == dict(remote.files):
                return Result(target, "unchanged", f"its files are those of {tag} already")
            try:
                sha = self._commit(target, remote, old, tag)
            except Raced as error:
                self.hub.say(f"  {error.text}; planning again")
                continue
            wait.until_running(self.hub, target.repo_id, sha, longest=self.longest_wait)
            return Result(target, "pushed", f"back at {tag}")
        raise DeployError(
            f"{target.repo_id} was changed by somebody else {REPLANS} times meanwhile; try again"
        )

    def destination(self, target: Target, remote: Remote) -> str:
        """The asked tag, or the deployment before the one that the files are of now."""
        tags = self._history(target, remote)
        if not tags:
            raise DeployError(f"{target.repo_id} has no deploy tag; only a finished push leaves one")
        if self.tag is not None:
            fits = [t for t in tags if t == self.tag or t.startswith(f"deploy-{self.tag}")]
            if not fits:
                raise DeployError(f"{target.repo_id} has no {self.tag}; it has " + ", ".join(tags))
            return fits[-1]
        now = dict(remote.files)
        same = [i for i, t in enumerate(tags) if remotes.tree(self.hub, target.repo_id, t) == now]
        # Files that are of no tag were pushed but never seen running: the newest tag is the way back.
        index = (same[-1] if same else len(tags)) - 1
        if index < 0:
            raise DeployError(
                f"{target.repo_id} is at its first deployment {tags[0]}; there is nothing before it"
            )
        return tags[index]

    def _history(self, target: Target, remote: Remote) -> list[str]:
        """Deploy tags from the oldest to the newest commit."""
        api = self.hub.api
        commits = self.hub.call(
            f"list the commits of {target.repo_id}",
            lambda: list(api.list_repo_commits(target.repo_id, repo_type="space")),
        )
        age = {c.commit_id: i for i, c in enumerate(commits)}  # newest first
        mine = [t for t, sha in remote.tags.items() if t.startswith("deploy-") and sha in age]
        return sorted(mine, key=lambda t: -age[remote.tags[t]])

    def _commit(self, target: Target, remote: Remote, old: dict[str, tuple[str, ...]], tag: str) -> str:
        copy = [p for p, oid in old.items() if remote.files.get(p) != oid]
        gone = [p for p in remote.files if p not in old]
        api, repo = self.hub.api, target.repo_id

        def send() -> str:
            return api.create_commit(
                repo,
                [
                    *(CommitOperationCopy(p, p, src_revision=tag) for p in copy),
                    *(CommitOperationDelete(p) for p in gone),
                ],
                commit_message=f"Back to {tag}",
                repo_type="space",
                parent_commit=remote.sha,
            ).oid

        self.hub.say(f"  {repo}: back to {tag}, {len(copy) + len(gone)} files")
        return self.hub.call(f"commit to {repo}", send)

    def _restore_settings(self, target: Target, remote: Remote, tag: str) -> None:
        """Variables and volumes as they were; secrets, hardware and visibility stay as they are."""
        api, repo = self.hub.api, target.repo_id
        with tempfile.TemporaryDirectory() as cache:
            path = self.hub.call(
                f"read {MANIFEST} of {repo}",
                lambda: hf_hub_download(
                    repo,
                    MANIFEST,
                    revision=tag,
                    repo_type="space",
                    endpoint=api.endpoint,
                    token=api.token,
                    cache_dir=cache,
                ),
            )
            then = json.loads(Path(path).read_text(encoding="utf-8"))
        volumes = tuple(Volume.model_validate(v) for v in then.get("volumes", []))
        target = replace(target, volumes=volumes, variables=then.get("variables", {}))
        for change in setting_changes(target, remote, []):
            if _belongs_to_code(change):
                apply.write_setting(self.hub, target, change.name, change.after)


def _belongs_to_code(change: Change) -> bool:
    return change.name.startswith("variable ") or change.name == "volumes"
