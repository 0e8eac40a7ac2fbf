"""Takes the federation one deployment back as one: files, and the settings that went with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from huggingface_hub import CommitOperationCopy, CommitOperationDelete

from deploy import apply, deployment, wait
from deploy import remote as remotes
from deploy.deployment import Deployment, Entry
from deploy.drain import LONGEST, Drain
from deploy.errors import DeployError, Raced
from deploy.federation import Volume
from deploy.hub import Hub
from deploy.plan import Change, setting_changes
from deploy.push import REPLANS
from deploy.remote import Remote
from deploy.result import Result, each_place, guarded
from deploy.targets import Target


@dataclass(frozen=True)
class Step:
    """What a rollback does to one Space: back to `entry`, or nothing because of `why`."""

    target: Target
    entry: Entry | None
    why: str = ""


def describe(steps: Sequence[Step]) -> str:
    """What a rollback would do, as people read it."""
    return "\n".join(
        f"back     {s.target.repo_id} to {s.entry.deployment}"
        if s.entry
        else f"stays    {s.target.repo_id}: {s.why}"
        for s in steps
    )


@dataclass(frozen=True)
class Rollback:
    """A rollback of a federation; `to` names a deployment (its tag, number or git sha), None the one before.

    Each Space is drained first.
    """

    hub: Hub
    to: str | None = None
    longest_wait: float = wait.LONGEST
    drain_seconds: float = LONGEST

    def run(self, targets: Sequence[Target]) -> list[Result]:
        """Plan it and do it. DeployError when there is nothing to go back to."""
        return self.apply(self.plan(targets))

    def apply(self, steps: Sequence[Step]) -> list[Result]:
        """Modes in parallel, then the router; a failure stops no other Space."""
        back = {step.target.name: step for step in steps}
        modes = [s.target for s in steps if not s.target.is_router]
        results = each_place(self.hub, lambda target: self._guarded(back[target.name]), modes)
        return results + [self._guarded(s) for s in steps if s.target.is_router]

    def plan(self, targets: Sequence[Target]) -> list[Step]:
        """Only what the last deployment has touched goes back; with `to`, each Space as it was at that time."""
        found = self.hub.each(self._history, targets)
        if not any(entries for _, entries in found):
            raise DeployError("none of these Spaces has a deployment to go back to; only a push makes one")
        pairs = list(zip(targets, found, strict=True))
        if self.to is not None:
            return self._at([e for _, entries in found for e in entries], pairs)
        last = max(deployment.standing(entries)[-1].deployment for _, entries in found if entries)
        steps = [self._before(t, why, deployment.standing(entries), last) for t, (why, entries) in pairs]
        if not any(s.entry for s in steps):
            raise DeployError(f"{last} is the first deployment of these Spaces; there is nothing before it")
        return steps

    def _history(self, target: Target) -> tuple[str, list[Entry]]:
        """Why a Space is not to be touched, and its deployments."""
        remote = remotes.read(self.hub, target.repo_id)
        if remote is None:
            return "it does not exist", []
        if not remote.ours:
            return "no push of ours has made it", []
        return "it has no deployment", deployment.history(self.hub, target.repo_id, remote.tags)

    def _before(self, target: Target, why: str, stack: list[Entry], last: Deployment) -> Step:
        if not stack:
            return Step(target, None, why)
        if stack[-1].deployment != last:
            return Step(target, None, f"{last} did not touch it; it is at {stack[-1].deployment}")
        earlier = [e for e in stack[:-1] if e.ran]
        return (
            Step(target, earlier[-1]) if earlier else Step(target, None, f"{last} has made it, so it stays")
        )

    def _at(self, known: list[Entry], pairs: list[tuple[Target, tuple[str, list[Entry]]]]) -> list[Step]:
        all_names = sorted({e.deployment for e in known})
        fits = [d for d in all_names if self.to in (str(d), str(d.number))]
        fits = fits or [d for d in all_names if d.sha.startswith(str(self.to))]
        if not fits:
            names = ", ".join(str(d) for d in all_names)
            raise DeployError(f"there is no deployment {self.to}; these Spaces have {names}")
        end = max(e.at for e in known if e.deployment == fits[-1] and not e.back)
        steps: list[Step] = []
        for target, (why, entries) in pairs:
            stack = deployment.standing([e for e in entries if e.at <= end])
            if entries and not stack:
                why = f"{fits[-1]} is older than it, so it stays"
            steps.append(Step(target, stack[-1]) if stack else Step(target, None, why))
        return steps

    def _guarded(self, step: Step) -> Result:
        return guarded(self.hub, step.target, lambda: self._one(step))

    def _one(self, step: Step) -> Result:
        target, entry, repo = step.target, step.entry, step.target.repo_id
        if entry is None:
            return Result(target, "unchanged", step.why)
        for _ in range(REPLANS):
            remote = remotes.read(self.hub, repo)
            if remote is None:
                raise DeployError(f"{repo} does not exist; there is nothing to roll back")
            old = remotes.tree(self.hub, repo, entry.sha)
            there = old == dict(remote.files) and bool(remote.deployed)
            try:
                with Drain(self.hub, 0 if there else self.drain_seconds).around(target, remote):
                    return self._back(target, remote, old, entry)
            except Raced as error:
                self.hub.say(f"  {error.text}; planning again")
        raise DeployError(f"{repo} was changed by somebody else {REPLANS} times meanwhile; try again")

    def _back(
        self, target: Target, remote: Remote, old: dict[str, tuple[str, ...]], entry: Entry
    ) -> Result:
        repo = target.repo_id
        self._restore_settings(target, remote, entry.sha)
        same = old == dict(remote.files)
        if same and remote.deployed:
            return Result(target, "unchanged", f"its files are those of {entry.deployment} already")
        sha = remote.sha if same else self._commit(target, remote, old, entry)
        wait.until_running(self.hub, repo, sha, longest=self.longest_wait)
        name = deployment.mark(self.hub, repo, entry.deployment, sha, remote.tags)
        return Result(target, "pushed", f"back at {name}")

    def _commit(self, target: Target, remote: Remote, old: dict[str, tuple[str, ...]], to: Entry) -> str:
        copy = [p for p, oid in old.items() if remote.files.get(p) != oid]
        gone = [p for p in remote.files if p not in old]
        api, repo = self.hub.api, target.repo_id

        def send() -> str:
            return api.create_commit(
                repo,
                [
                    *(CommitOperationCopy(p, p, src_revision=to.sha) for p in copy),
                    *(CommitOperationDelete(p) for p in gone),
                ],
                commit_message=f"{deployment.BACK}{to.deployment}",
                repo_type="space",
                parent_commit=remote.sha,
            ).oid

        self.hub.say(f"  {repo}: back to {to.deployment}, {len(copy) + len(gone)} files")
        return self.hub.call(f"commit to {repo}", send)

    def _restore_settings(self, target: Target, remote: Remote, sha: str) -> None:
        """Variables and volumes as they were; secrets, hardware and visibility stay as they are."""
        then = remotes.manifest(self.hub, target.repo_id, sha)
        volumes = tuple(Volume.model_validate(v) for v in then.get("volumes", []))
        target = replace(target, volumes=volumes, variables=then.get("variables", {}))
        for change in setting_changes(target, remote, []):
            if _belongs_to_code(change):
                apply.write_setting(self.hub, target, change.name, change.after)


def _belongs_to_code(change: Change) -> bool:
    return change.name.startswith("variable ") or change.name == "volumes"
