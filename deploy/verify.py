"""Proves that a pushed Space answers: the right commit, contract and mode, and one call without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from pydantic import ValidationError

from common.contract import CONTRACT_VERSION, Manifest
from common.errors import InputError
from common.modes.all import MODES
from deploy import remote as remotes
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.hub import Hub
from deploy.targets import Target

Probe = Callable[[Hub, Target], str]
"""Looks at a running Space and returns a sentence about it; DeployError when it does not do."""

EXAMPLES = ROOT / "common" / "examples"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def verify(hub: Hub, target: Target, *, generate: bool = False, probe: Probe | None = None) -> str:
    """Check the stage at the head commit and then the app itself; a sentence, or DeployError."""
    remote = remotes.read(hub, target.repo_id)
    if remote is None:
        raise DeployError(f"{target.repo_id} does not exist; `wan-studio deploy push` makes it")
    if remote.stage != "RUNNING":
        raise DeployError(f"{target.repo_id} is {remote.stage}, not RUNNING; see `wan-studio deploy logs`")
    if remote.running_sha not in (None, remote.sha):
        raise DeployError(
            f"{target.repo_id} still runs {str(remote.running_sha)[:12]}, not {remote.sha[:12]}; wait"
        )
    said = (probe or answers)(hub, target)
    if generate and not target.is_router:
        said += "; " + one_generation(hub, target)
    return f"{said} at {remote.sha[:12]}" + ("" if remote.deployed else " (not tagged by a push)")


def answers(hub: Hub, target: Target) -> str:
    """The default probe: the page of the router, the manifest and a plan of a mode."""
    host, headers = _address(hub, target)
    if target.mode is None:
        _request("GET", host, headers, target)
        return "the page answers"
    try:
        manifest = Manifest.model_validate(_run(host, headers, target, "manifest", [])[0])
    except (ValidationError, IndexError, TypeError) as error:
        raise DeployError(
            f"{target.repo_id} answers, but not with a manifest ({error}); push it again"
        ) from None
    if manifest.contract != CONTRACT_VERSION:
        raise DeployError(
            f"{target.repo_id} speaks contract {manifest.contract}, we {CONTRACT_VERSION}; push it again"
        )
    if manifest.mode != target.mode or manifest.weights != target.weights:
        raise DeployError(
            f"{target.repo_id} must be {target.mode} on {target.weights} weights; it says {manifest.mode} on "
            f"{manifest.weights}: look at its variables with `wan-studio deploy plan`"
        )
    carried = {c.key for c in manifest.checkpoints}
    if missing := set(target.checkpoints) - carried:
        raise DeployError(f"{target.repo_id} must carry {', '.join(sorted(missing))}; it says it does not")
    return f"{manifest.mode} answers with contract {manifest.contract}, {_plan(host, headers, target)}"


def _plan(host: str, headers: dict[str, str], target: Target) -> str:
    """One real call that needs no GPU: a plan, or the named refusal of a mode that wants a file first."""
    assert target.mode is not None
    fields = MODES[target.mode].request_type.model_fields
    values = ["a red circle" if n == "prompt" else f.get_default() for n, f in fields.items()]
    reply = _send("POST", f"{host}/gradio_api/run/plan", headers, target, json={"data": values})
    body = reply.json() if "json" in reply.headers.get("content-type", "") else {}
    if reply.status_code == 200:
        plan = body["data"][0]
        return f"plans {plan['num_frames']} frames on {plan['checkpoint']}"
    if body.get("title") == InputError.title:
        return f"says what it needs: {body['error']}"
    raise DeployError(
        f"{target.repo_id} cannot plan (HTTP {reply.status_code}); see `wan-studio deploy logs`"
    )


def one_generation(hub: Hub, target: Target) -> str:
    """A real clip of the mode's first example through `/generate`; spends the deployer's own GPU quota."""
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    assert target.mode is not None
    mode = MODES[target.mode]
    # Wan-Nano's examples: those bring their pictures and clips with them.
    values = dict(mode.nano_examples[0].values)
    for slot in mode.slots:
        if name := values.get(slot.name):
            values[slot.name] = handle_file(str(EXAMPLES / name))
    host, headers = _address(hub, target)
    client = Client(host, headers=headers, download_files=False, verbose=False, token=False)  # type: ignore[arg-type]
    try:
        video, event = client.predict(**values, seed=1, api_name="/generate")
    except AppError as error:
        raise DeployError(f"{target.repo_id} could not make a clip: {error}") from None
    if not video or event.get("type") != "done":
        raise DeployError(f"{target.repo_id} made no video; see `wan-studio deploy logs`")
    return f"made a clip in {event['seconds']:.0f} s"


def _address(hub: Hub, target: Target) -> tuple[str, dict[str, str]]:
    info = hub.call(f"look at {target.repo_id}", lambda: hub.api.space_info(target.repo_id))
    if not info.host:
        raise DeployError(f"{target.repo_id} has no address yet; wait a moment")
    token = hub.token if info.private else None  # nobody else is shown it
    return info.host.rstrip("/"), {"authorization": f"Bearer {token}"} if token else {}


def _run(host: str, headers: dict[str, str], target: Target, name: str, data: list[Any]) -> list[Any]:
    reply = _request("POST", f"{host}/gradio_api/run/{name}", headers, target, json={"data": data})
    try:
        return reply.json()["data"]
    except (ValueError, KeyError):
        raise DeployError(f"{target.repo_id} answers /{name} with something else; push it again") from None


def _request(method: str, url: str, headers: dict[str, str], target: Target, **kwargs: Any) -> httpx.Response:
    reply = _send(method, url, headers, target, **kwargs)
    if reply.is_error:
        raise DeployError(
            f"{target.repo_id} runs but answers HTTP {reply.status_code}; see `wan-studio deploy logs`"
        )
    return reply


def _send(method: str, url: str, headers: dict[str, str], target: Target, **kwargs: Any) -> httpx.Response:
    try:
        return httpx.request(method, url, headers=headers, timeout=TIMEOUT, follow_redirects=True, **kwargs)
    except httpx.HTTPError as error:
        raise DeployError(
            f"{target.repo_id} runs but does not answer ({type(error).__name__}: {error}); "
            "see `wan-studio deploy logs`"
        ) from error
