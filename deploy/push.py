"""The push: modes a few at a time, the router last, each one resumed where an earlier push stopped.

Places of one mode come one after another, each drained first, so that another serves meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import apply, deployment, restart, verify, wait
from deploy.deployment import Deployment
from deploy.drain import LONGEST, Drain
from deploy.errors import Conflict, DeployError, Raced
from deploy.federation import ROOT
from deploy.hub import Hub
from deploy.plan import SpacePlan, plan_space
from deploy.result import Result, each_place, guarded
from deploy.targets import Target
from deploy.verify import Probe

REPLANS = 5


@dataclass(frozen=True)
class Push:
    """One push of a federation; the seams (`probe`, `env`) are for tests and the command line.

    `federation` is all of its Spaces, where only some are pushed: a deployment has one name over all of them.
    `adopt` names Spaces that are ours from now on, whoever has made them.
    """

    hub: Hub
    root: Path = ROOT
    probe: Probe = verify.answers
    env: Mapping[str, str] | None = None
    create_pr: bool = False
    files_only: bool = False
    longest_wait: float = wait.LONGEST
    drain_seconds: float = LONGEST
    adopt: Collection[str] = ()
    federation: Sequence[Target] | None = None

    def run(self, targets: Sequence[Target]) -> list[Result]:
        """Push every target; a failed mode stops no other, and the router comes when all modes are done."""
        part_of = deployment.current(self.hub, self.federation or targets, self.root)
        modes = [t for t in targets if not t.is_router]
        results = each_place(self.hub, lambda t: self.one(t, part_of), modes)
        # Also after a failure: the router greys a mode that does not answer and heals when it does.
        return results + [self.one(t, part_of) for t in targets if t.is_router]

    def one(self, target: Target, part_of: Deployment) -> Result:
        """Push one Space; errors become its result."""
        work = self._pull_request if self.create_pr else lambda t: self._push(t, part_of)
        return guarded(self.hub, target, lambda: work(target))

    def _plan(self, target: Target) -> SpacePlan:
        plan = plan_space(
            self.hub, target, self.root, files_only=self.files_only, adopt=self.adopt, env=self.env
        )
        if plan.refusals:
            raise DeployError(f"{target.repo_id} is left alone: {'; '.join(plan.refusals)}")
        return plan

    def _push(self, target: Target, part_of: Deployment) -> Result:
        exists = False
        for _ in range(REPLANS):
            plan = self._plan(target)
            if exists and plan.remote is None:
                raise DeployError(
                    f"{target.repo_id} exists, and this token may not see it; push with a token that may, or "
                    "give the Space another `name`"
                )
            if plan.remote is None and self.files_only:
                raise DeployError(f"{target.repo_id} does not exist; push once without --files-only")
            if plan.settled:
                return Result(target, "unchanged", f"{plan.bundle.version} is there already")
            try:
                if plan.remote is None:
                    apply.create(self.hub, target, self.env)
                    continue  # planned again, for the Hub puts a first commit into every new repository
                return self._changed(plan, part_of)
            except (Raced, Conflict) as error:
                self.hub.say(f"  {error.text}; planning again")
                exists = isinstance(error, Conflict)
        raise DeployError(
            f"{target.repo_id} was changed by somebody else {REPLANS} times meanwhile; push again"
        )

    def _changed(self, plan: SpacePlan, part_of: Deployment) -> Result:
        assert plan.remote is not None
        sha = plan.remote.sha
        with Drain(self.hub, 0 if plan.same else self.drain_seconds, self.env).around(plan.target, plan.remote):
            apply.settings(self.hub, plan, self.env)
            if plan.files_differ:
                sha = apply.commit(self.hub, plan, part_of, files_only=self.files_only)
            return self._prove(plan, sha, part_of)

    def _prove(self, plan: SpacePlan, sha: str, part_of: Deployment) -> Result:
        """Wait, ask the app, and only then tag: the tag says that this very content has run."""
        repo, remote = plan.target.repo_id, plan.remote
        assert remote is not None
        heal = plan.broken and not plan.files_differ
        if heal:
            restart.again(self.hub, repo, remote.stage)
        wait.until_running(self.hub, repo, sha, longest=self.longest_wait, restarted=heal)
        said = self.probe(self.hub, plan.target)
        if sha == remote.sha and remote.deployed:
            name = remote.deployed[0]
        else:
            name = deployment.mark(self.hub, repo, part_of, sha, remote.tags)
        return Result(plan.target, "pushed", f"{said}; {name}")

    def _pull_request(self, target: Target) -> Result:
        plan = self._plan(target)
        if plan.remote is None:
            raise DeployError(
                f"{target.repo_id} does not exist, so it can have no pull request; push once without --pr"
            )
        if not plan.files_differ:
            return Result(target, "unchanged", "its files are these already")
        title, api = apply.message(plan), self.hub.api
        pulls = self.hub.call(
            f"list the pull requests of {target.repo_id}",
            lambda: list(
                api.get_repo_discussions(
                    target.repo_id,
                    repo_type="space",
                    discussion_type="pull_request",
                    discussion_status="open",
                )
            ),
        )
        for pull in pulls:
            if pull.title == title:
                return Result(
                    target, "unchanged", f"pull request {pull.num} has these files already: {pull.url}"
                )
        text = apply.pull_request(self.hub, plan)
        if plan.settings:
            text += "; settings are not part of a pull request: " + ", ".join(c.name for c in plan.settings)
        return Result(target, "pull request", text)
