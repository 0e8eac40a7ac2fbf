"""Writes one Space's plan to the Hub: creates it, sets what differs, commits once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from deploy import deployment, secrets
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.hub import Hub
from deploy.plan import SpacePlan, hub_volumes
from deploy.targets import Target

_CREATING = threading.Lock()
"""The Hub refuses two creations by one account at the same moment."""


def create(hub: Hub, target: Target, env: Mapping[str, str] | None = None) -> None:
    """A new Space with all its settings in one call, so that it never starts with half of them."""
    hidden = secrets.values(hub, target, sorted(target.secrets), env)
    variables = {**target.variables} | secrets.sent_variable(hub, target, hidden)
    hub.say(f"  creating {target.repo_id} on {target.hardware}")
    with _CREATING:
        hub.call(
            f"create {target.repo_id}",
            lambda: hub.api.create_repo(
                target.repo_id,
                repo_type="space",
                visibility=target.visibility,
                space_sdk="gradio",
                space_hardware=target.hardware,  # type: ignore[arg-type]
                space_sleep_time=target.sleep_seconds,
                space_variables=[{"key": k, "value": v} for k, v in variables.items()],
                space_secrets=[{"key": k, "value": v} for k, v in hidden.items()],
                space_volumes=hub_volumes(target) or None,
            ),
        )


def settings(hub: Hub, plan: SpacePlan, env: Mapping[str, str] | None = None) -> None:
    """Write the settings that differ and no other: each one restarts the Space."""
    api, repo = hub.api, plan.target.repo_id
    for change in plan.settings:
        write_setting(hub, plan.target, change.name, change.after)
    hidden = secrets.values(hub, plan.target, plan.secrets, env)
    for name, value in hidden.items():

        def add(name: str = name, value: str = value) -> None:
            api.add_space_secret(repo, name, value)

        hub.say(f"  {repo}: secret {name}")
        hub.call(f"set the secret {name} of {repo}", add)
    before = plan.remote.variables if plan.remote else {}
    for name, value in secrets.sent_variable(hub, plan.target, hidden, before).items():
        hub.call(f"note what secrets {repo} has", lambda n=name, v=value: api.add_space_variable(repo, n, v))


def write_setting(hub: Hub, target: Target, name: str, value: Any) -> None:
    """One setting of an existing Space; None takes a variable away."""
    api, repo = hub.api, target.repo_id
    hub.say(f"  {repo}: {name}")
    doing = f"set {name} of {repo}"
    kind, _, variable = name.partition(" ")
    if kind == "variable" and value is None:
        hub.call(doing, lambda: api.delete_space_variable(repo, variable))
    elif kind == "variable":
        hub.call(doing, lambda: api.add_space_variable(repo, variable, value))
    elif kind == "hardware":
        hub.call(doing, lambda: api.request_space_hardware(repo, value))
    elif kind == "sleep_seconds":
        hub.call(doing, lambda: api.set_space_sleep_time(repo, value))
    elif kind == "volumes":
        hub.call(doing, lambda: api.set_space_volumes(repo, hub_volumes(target)))
    elif kind == "visibility":
        hub.call(doing, lambda: api.update_repo_settings(repo, repo_type="space", visibility=value))
    else:
        raise DeployError(f"{name} is not a setting that can be written; add it to deploy/apply.py")


def commit(hub: Hub, plan: SpacePlan, part_of: Deployment, *, files_only: bool = False) -> str:
    """All file changes in one commit on top of the one that was planned against; its sha.

    Its title names the deployment. Raced when main has moved.
    """
    return _send(hub, plan, deployment.title(part_of, files_only=files_only)).oid


def pull_request(hub: Hub, plan: SpacePlan) -> str:
    """All file changes as a pull request; its address."""
    return _send(hub, plan, message(plan), create_pr=True).pr_url


def _send(hub: Hub, plan: SpacePlan, title: str, *, create_pr: bool = False) -> Any:
    assert plan.remote is not None
    parent, repo = plan.remote.sha, plan.target.repo_id
    count = len(plan.add) + len(plan.change) + len(plan.delete)
    hub.say(f"  {repo}: {'a pull request' if create_pr else 'a commit'} with {count} files")

    def send() -> Any:
        # Built anew for each attempt: the client marks operations as used.
        operations = [
            *(CommitOperationAdd(p, plan.bundle.files[p]) for p in (*plan.add, *plan.change)),
            *(CommitOperationDelete(p) for p in plan.delete),
        ]
        return hub.api.create_commit(
            repo,
            operations,
            commit_message=title,
            repo_type="space",
            parent_commit=parent,
            create_pr=create_pr,
        )

    return hub.call(f"commit to {repo}", send)


def message(plan: SpacePlan) -> str:
    """The title by which an open pull request is found again: that of its content, whatever else changes."""
    return f"Wan Studio {plan.bundle.version}"
