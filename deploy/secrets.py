"""Secrets: named in the federation file, read from the deployer's environment, never shown."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping

from deploy.errors import DeployError
from deploy.hub import Hub
from deploy.remote import Remote
from deploy.targets import Target

SENT = "WAN_SECRETS_SENT"
"""The Space's variable that tells a sent secret from a rotated one: a digest by name, keyed by the deploy token.

The Hub gives no secret back, and a digest without a key could be tried out by whoever reads the variable.
"""


def due(hub: Hub, target: Target, remote: Remote | None, env: Mapping[str, str] | None = None) -> list[str]:
    """The secrets to send: those that the Space has not, and those that have another value here."""
    env = os.environ if env is None else env
    known = _sent(remote.variables) if remote else {}
    out: list[str] = []
    for name, variable in sorted(target.secrets.items()):
        value = env.get(variable, "")
        there = remote is not None and name in remote.secrets
        if not there or (value and known.get(name) != _digest(hub, target, name, value)):
            out.append(name)
    return out


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
        if value == hub.token:
            raise DeployError(
                f"${variable} holds the very token that pushes, and whoever can edit {target.repo_id} could "
                f"use it; make a read-only token at huggingface.co/settings/tokens for ${variable}"
            )
        out[name] = value
    return out


def sent_variable(
    hub: Hub, target: Target, sent: Mapping[str, str], before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variable to write once these secrets are on the Space; {} where there were none to send."""
    if not sent:
        return {}
    digests = _sent(before or {}) | {n: _digest(hub, target, n, v) for n, v in sent.items()}
    return {SENT: json.dumps(digests, sort_keys=True, separators=(",", ":"))}


def _sent(variables: Mapping[str, str]) -> dict[str, str]:
    try:
        found = json.loads(variables.get(SENT, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digest(hub: Hub, target: Target, name: str, value: str) -> str:
    text = f"{target.repo_id}\0{name}\0{value}".encode()
    return hmac.new((hub.token or "").encode(), text, hashlib.sha256).hexdigest()[:16]
