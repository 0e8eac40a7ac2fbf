"""Secrets: named in the federation file, read from the deployer's environment, never shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from deploy.errors import DeployError
from deploy.hub import Hub
from deploy.targets import Target


def values(
    hub: Hub, target: Target, names: Iterable[str], env: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The value of each named secret. DeployError when its variable is empty or holds the deploy token."""
    env = os.environ if env is None else env
    out: dict[str, str] = {}
    for name in names:
        variable = target.secrets[name]
        value = env.get(variable, "")
        if not value:
            raise DeployError(
                f"{target.repo_id} needs the secret {name}, but ${variable} is not set here; "
                f"export {variable}=… and push again"
            )
        if value == _deploy_token(hub):
            raise DeployError(
                f"${variable} holds the very token that pushes, and whoever can edit {target.repo_id} could "
                f"use it; make a read-only token at huggingface.co/settings/tokens for ${variable}"
            )
        out[name] = value
    return out


def _deploy_token(hub: Hub) -> str | None:
    from huggingface_hub import get_token

    return hub.api.token if isinstance(hub.api.token, str) else get_token()
