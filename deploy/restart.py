"""Starts a Space anew: as it is, or built from scratch where it could not be built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy import remote as remotes
from deploy import verify, wait
from deploy.drain import LONGEST, Drain
from deploy.errors import DeployError
from deploy.hub import Hub
from deploy.result import Result, each_place, guarded
from deploy.targets import Target
from deploy.verify import Probe

UNBUILT = ("BUILD_ERROR", "CONFIG_ERROR")
"""Stages that a restart alone does not leave: the image has to be built again."""


def again(hub: Hub, repo_id: str, stage: str, *, factory: bool = False) -> None:
    """Ask for the restart, from scratch where `factory` or the stage wants it."""
    scratch = factory or stage in UNBUILT
    hub.say(f"  {repo_id} is {stage}; {'building it from scratch' if scratch else 'restarting it'}")
    hub.call(f"restart {repo_id}", lambda: hub.api.restart_space(repo_id, factory_reboot=scratch))


@dataclass(frozen=True)
class Restart:
    """A restart of several Spaces, each drained, waited for and asked."""

    hub: Hub
    factory: bool = False
    probe: Probe = verify.answers
    longest_wait: float = wait.LONGEST
    drain_seconds: float = LONGEST

    def run(self, targets: Sequence[Target]) -> list[Result]:
        """Modes a few at a time, then the router; a failure stops no other Space."""
        results = each_place(self.hub, self.one, [t for t in targets if not t.is_router])
        return results + [self.one(t) for t in targets if t.is_router]

    def one(self, target: Target) -> Result:
        """Restart one Space; errors become its result."""
        return guarded(self.hub, target, lambda: self._one(target))

    def _one(self, target: Target) -> Result:
        repo = target.repo_id
        remote = remotes.read(self.hub, repo)
        if remote is None:
            raise DeployError(f"{repo} does not exist; `wan-studio deploy push` makes it")
        if not remote.ours:
            raise DeployError(f"no push of ours has made {repo}; restart it at huggingface.co/spaces/{repo}")
        with Drain(self.hub, self.drain_seconds).around(target, remote):
            again(self.hub, repo, remote.stage, factory=self.factory)
            wait.until_running(self.hub, repo, remote.sha, longest=self.longest_wait, restarted=True)
            return Result(target, "restarted", f"runs again; {self.probe(self.hub, target)}")
