"""The push: modes a few at a time, the router last, each one resumed where an earlier push stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy import apply, verify, wait
from deploy.errors import Conflict, DeployError, Raced
from deploy.federation import ROOT
from deploy.hub import Hub
from deploy.plan import SpacePlan, plan_space
from deploy.targets import Target
from deploy.verify import Probe

REPLANS = 5

Outcome = Literal["unchanged", "pushed", "pull request", "failed"]


@dataclass(frozen=True)
class Result:
    """How one Space came out of a push. `text` is a sentence, an address or the error."""

    target: Target
    outcome: Outcome
    text: str = ""


@dataclass(frozen=True)
class Push:
    """One push of a federation; the seams (`probe`, `env`) are for tests and the command line."""

    hub: Hub
    root: Path = ROOT
    probe: Probe = verify.answers
    env: Mapping[str, str] | None = None
    create_pr: bool = False
    files_only: bool = False
    longest_wait: float = wait.LONGEST

    def run(self, targets: Sequence[Target]) -> list[Result]:
        """Push every target; a failed mode stops no other, and the router comes when all modes are done."""
        modes = [t for t in targets if not t.is_router]
        routers = [t for t in targets if t.is_router]
        results = self.hub.each(self.one, modes)
        # Also after a failure: the router greys a mode that does not answer and heals when it does.
        return results + [self.one(t) for t in routers]

    def one(self, target: Target) -> Result:
        """Push one Space; errors become its result."""
        try:
            result = self._pull_request(target) if self.create_pr else self._push(target)
        except DeployError as error:
            result = Result(target, "failed", error.text)
        first, _, rest = f"{result.outcome} {target.repo_id}: {result.text}".partition("\n")
        self.hub.say(first + (f"\n{rest}" if rest else ""))
        return result

    def _push(self, target: Target) -> Result:
        for _ in range(REPLANS):
            plan = plan_space(self.hub, target, self.root, files_only=self.files_only)
            if plan.remote is None and self.files_only:
                raise DeployError(f"{target.repo_id} does not exist; push once without --files-only")
            if plan.settled and plan.remote is not None and plan.remote.stage not in wait.FAILED:
                return Result(target, "unchanged", f"{plan.bundle.tag} is there already")
            try:
                if plan.remote is None:
                    apply.create(self.hub, target, self.env)
                    continue  # planned again, for the Hub puts a first commit into every new repository
                apply.settings(self.hub, plan, self.env)
                sha = apply.commit(self.hub, plan) if plan.files_differ else plan.remote.sha
            except (Raced, Conflict) as error:
                self.hub.say(f"  {error.text}; planning again")
                continue
            return self._prove(plan, sha)
        raise DeployError(
            f"{target.repo_id} was changed by somebody else {REPLANS} times meanwhile; push again"
        )

    def _prove(self, plan: SpacePlan, sha: str) -> Result:
        """Wait, ask the app, and only then tag: the tag says that this very content has run."""
        repo = plan.target.repo_id
        wait.until_running(self.hub, repo, sha, longest=self.longest_wait)
        said = self.probe(self.hub, plan.target)
        self.tag(plan, sha)
        return Result(plan.target, "pushed", f"{said}; {plan.bundle.tag}")

    def tag(self, plan: SpacePlan, sha: str) -> None:
        """Mark a commit as deployed; a tag of that name on an older commit with the same content is moved."""
        api, repo, name = self.hub.api, plan.target.repo_id, plan.bundle.tag
        existing = plan.remote.tags.get(name) if plan.remote else None
        if existing == sha:
            return
        if existing is not None:
            self.hub.call(
                f"move the tag of {repo}", lambda: api.delete_tag(repo, tag=name, repo_type="space")
            )
        with contextlib.suppress(Conflict):  # an attempt that timed out had worked
            self.hub.call(
                f"tag {repo}", lambda: api.create_tag(repo, tag=name, revision=sha, repo_type="space")
            )

    def _pull_request(self, target: Target) -> Result:
        plan = plan_space(self.hub, target, self.root)
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
        text = apply.commit(self.hub, plan, create_pr=True)
        if plan.settings:
            text += "; settings are not part of a pull request: " + ", ".join(c.name for c in plan.settings)
        return Result(target, "pull request", text)
