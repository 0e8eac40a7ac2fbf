"""Lets a running mode finish its jobs before it is updated: drained by its `/admin`, waited for, and let on again.

Only where its WAN_ADMIN is known here; one that cannot be drained is told in a line and updated anyway. Who serves
the mode besides gets the jobs meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from common.contract import Jobs, Manifest
from common.errors import StudioError, shown
from deploy.errors import DeployError
from deploy.hub import Hub
from deploy.remote import Remote
from deploy.targets import Target

SECRET = "WAN_ADMIN"
LONGEST = 600.0
POLL_SECONDS = 5.0
TIMEOUT = httpx.Timeout(15.0, connect=10.0)


@dataclass(frozen=True)
class Drain:
    """How Spaces are drained. `seconds` is how long their jobs are waited for; with 0 none is drained."""

    hub: Hub
    seconds: float = LONGEST
    env: Mapping[str, str] | None = None

    @contextmanager
    def around(self, target: Target, remote: Remote) -> Iterator[None]:
        """While a Space is changed or restarted: it has no job, as far as that can be had, and takes none.

        Afterwards the Space, or what is left of the old one where the work failed, takes jobs again.
        """
        where = self._drained(target, remote)
        try:
            if where is not None:
                self._wait(target.repo_id, where)
            yield
        finally:
            if where is not None:
                with suppress(StudioError, httpx.HTTPError, ValueError):  # a new process takes jobs by itself
                    where.admin("undrain")

    def _drained(self, target: Target, remote: Remote) -> _Where | None:
        variable = target.secrets.get(SECRET)
        if not variable or self.seconds <= 0 or remote.stage != "RUNNING" or not remote.host or not remote.ours:
            return None
        repo, env = target.repo_id, os.environ if self.env is None else self.env
        if not (secret := env.get(variable, "").strip()):
            self.hub.say(f"  {repo} is not drained: ${variable} is not set here")
            return None
        token = self.hub.token if remote.private else None
        where = _Where(remote.host.rstrip("/"), secret, {"authorization": f"Bearer {token}"} if token else {})
        try:
            where.admin("drain")
        except (DeployError, httpx.HTTPError, ValueError) as error:
            self.hub.say(f"  {repo} is not drained, and updated all the same: {_why(error)}")
            return None
        return where

    def _wait(self, repo: str, where: _Where) -> None:
        waited, told = 0.0, -1
        while True:
            try:
                left = (where.manifest().jobs or Jobs()).all
            except (DeployError, httpx.HTTPError, ValueError) as error:
                self.hub.say(f"  {repo} is not waited for any longer: {_why(error)}")
                return
            if not left:
                return
            if waited >= self.seconds:
                self.hub.say(f"  {repo} still has {_jobs(left)} after {self.seconds:.0f} s, which will be lost")
                return
            if left != told:
                self.hub.say(f"  {repo} finishes {_jobs(left)} first and takes no more")
                told = left
            self.hub.sleep(POLL_SECONDS)
            waited += POLL_SECONDS


@dataclass(frozen=True)
class _Where:
    """A running Space that lets us act."""

    host: str
    secret: str
    headers: Mapping[str, str]

    def admin(self, action: str) -> None:
        self._run("admin", [self.secret, action])

    def manifest(self) -> Manifest:
        try:
            return Manifest.model_validate(self._run("manifest", [])["data"][0])
        except (KeyError, IndexError, TypeError):
            raise DeployError("it answers with no manifest") from None

    def _run(self, name: str, data: list[str]) -> Any:
        reply = httpx.post(
            f"{self.host}/gradio_api/run/{name}", json={"data": data}, headers=dict(self.headers), timeout=TIMEOUT
        )
        body: Any = reply.json() if "json" in reply.headers.get("content-type", "") else {}
        if reply.is_error or not isinstance(body, dict):
            said = body.get("error") or body.get("detail") if isinstance(body, dict) else None
            raise DeployError(f"it says: {shown(str(said), 150)}" if said else f"it answers HTTP {reply.status_code}")
        return body


def _why(error: Exception) -> str:
    if isinstance(error, DeployError):
        return error.text
    if isinstance(error, httpx.HTTPError):
        return f"it does not answer ({type(error).__name__})"
    return "it answers with something else than a mode does"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
