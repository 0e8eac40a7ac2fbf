"""One question to one place: how it is, as a state and a sentence; and the knock that wakes a sleeping Space.

The Hub's API is asked first about a Space: a question to the Space itself counts as a visit and keeps it awake, so
one that still runs the build that has answered before is not asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import httpx
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers

from common.contract import CONTRACT_VERSION, Manifest
from common.run.remote import ask_manifest, manifest_in
from router.federation import Place

State = Literal["ready", "draining", "waking", "starting", "building", "asleep", "paused", "down", "skewed"]

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
HUB_REST_SECONDS = 60.0
"""How long the Hub is left alone when it has had too many questions and does not say for how long."""

WAKING = "is waking up; that takes about a minute or two"
UPDATING = "is being updated; it takes jobs again in a few minutes"
JUST_NOW_SECONDS = 1.5
"""How long a job waits for what places say of themselves just now."""


@dataclass(frozen=True)
class Status:
    """What we know of one place: its state, what to tell a user, and its manifest once it is ready.

    `private` places alone are shown the read token: any other could keep it. `sha` is the build that a Space runs.
    `missed` says that the place left a question unanswered, which one busy moment is enough for; `unknown` that the
    Hub did not say how it is, and `hub_rest` for how many seconds it wants no more questions.
    """

    place: Place
    state: State
    text: str
    manifest: Manifest | None = None
    url: str | None = None
    private: bool = False
    missed: bool = False
    sha: str = ""
    unknown: bool = False
    hub_rest: float = 0.0


def ask(place: Place, token: str | None = None, known: Status | None = None) -> Status:
    """Ask a place how it is. Never raises: every failure is a state with a sentence and a way out.

    `known` is what it said before: a ready Space whose build is the same is asked about, and not asked itself.
    """
    space = Status(place, "ready", "", url=place.where)
    if place.is_space:
        space = _space(place, token)
        if space.state != "ready":
            return space
        if known and known.state == "ready" and known.manifest and known.sha and known.sha == space.sha:
            return known
    url = space.url or ""
    headers = {"authorization": f"Bearer {token}"} if token and space.private else {}
    try:
        manifest = ask_manifest(url, headers, TIMEOUT)
    except httpx.TimeoutException:
        return Status(place, "down", "does not answer; it is asked again every few seconds", missed=True)
    except httpx.HTTPError as error:
        text = f"cannot be reached ({type(error).__name__}); it is asked again soon"
        return Status(place, "down", text, missed=True)
    except ValueError:
        return Status(place, "skewed", "answers, but not as a Wan Studio mode; deploy it again")
    return judged(replace(space, url=url), manifest)


def judged(status: Status, manifest: Manifest) -> Status:
    """How a place is that has answered with this manifest; `status` is where, and what else is known of it."""
    place = status.place
    if manifest.contract != CONTRACT_VERSION:
        text = f"speaks contract {manifest.contract}, this Studio {CONTRACT_VERSION}; deploy both again"
        return Status(place, "skewed", text, manifest)
    if manifest.mode != place.mode:
        return Status(place, "skewed", f"is a {manifest.mode} Space; mend WAN_FEDERATION", manifest)
    state, text = ("draining", UPDATING) if manifest.draining else ("ready", "")
    return Status(place, state, text, manifest, status.url, status.private, sha=status.sha)


async def ask_just_now(status: Status, token: str | None) -> Status | None:
    """How a ready place says that it is, for a job that does not wait longer than a moment; None for no answer."""
    headers = {"authorization": f"Bearer {token}"} if token and status.private else {}
    url = str(status.url)
    try:
        async with (
            asyncio.timeout(JUST_NOW_SECONDS),
            httpx.AsyncClient(verify=url.startswith("https"), headers=headers) as client,
        ):
            manifest = manifest_in(await client.post(f"{url}gradio_api/run/manifest", json={"data": []}))
    except (TimeoutError, httpx.HTTPError, ValueError):
        return None
    return judged(status, manifest)


def knock(status: Status, token: str | None, *, restart: bool) -> None:
    """Wake a sleeping Space: by a `restart` where the token may, else by a visit. Never raises."""
    if token and restart:
        with suppress(Exception):  # a token that may only read; the Hub's transport has its own error classes
            HfApi(endpoint=constants.ENDPOINT, token=token).restart_space(status.place.where)
            return
    if status.url:
        headers = {"authorization": f"Bearer {token}"} if token and status.private else {}
        with suppress(httpx.HTTPError):
            httpx.get(status.url, headers=headers, timeout=TIMEOUT)


_STAGES: dict[str, tuple[State, str]] = {
    "SLEEPING": ("asleep", "is asleep; choose it or press Generate to wake it, which takes a minute or two"),
    "PAUSED": ("paused", "is paused by its owner, who alone can restart it, on its page"),
    "STOPPED": ("paused", "is stopped; its owner can restart it on its page"),
    "BUILDING": ("building", "is being built; it will appear by itself"),
    "RUNNING_BUILDING": ("building", "is being rebuilt; it will appear by itself"),
    "APP_STARTING": ("starting", "is starting; it will appear by itself"),
    "BUILD_ERROR": ("down", "could not be built; see its logs"),
    "RUNTIME_ERROR": ("down", "stopped with an error; see its logs"),
    "CONFIG_ERROR": ("down", "has a configuration error; see its page"),
    "NO_APP_FILE": ("down", "has no app file; deploy it again"),
}


def _space(place: Place, token: str | None) -> Status:
    """What the Hub says of a Space; "ready" for one that can be asked itself, at `url`."""
    # The client's constructor fails on a sleeping Space and loops for ever on a building one: ask first.
    api = HfApi(endpoint=constants.ENDPOINT, token=token or False)
    try:
        info = api.space_info(place.where, timeout=5)
    except HfHubHTTPError as error:
        response = error.response
        if response is None:
            return _refused(place, 0, {})
        return _refused(place, response.status_code, response.headers)
    except Exception as error:  # the Hub's transport has its own error classes, which differ by version
        text = f"cannot be asked about: the Hub did not answer ({type(error).__name__})"
        return Status(place, "down", text, unknown=True)
    raw = info.runtime.raw if info.runtime else {}
    stage, sha = str(raw.get("stage", "RUNNING")), str(raw.get("sha") or "")
    url = info.host.rstrip("/") + "/" if info.host else None
    state, text = _STAGES.get(stage, ("ready", ""))
    if state == "ready" and url is None:
        state, text = "starting", "has no address yet; it will appear by itself"
    return Status(place, state, text, url=url, private=bool(info.private), sha=sha)


def _refused(place: Place, code: int, headers: Mapping[str, str]) -> Status:
    if code == 429:
        rest = _rest(headers)
        text = f"is not known yet: the Hub takes no more questions for {rest:.0f} s (HTTP 429)"
        return Status(place, "starting", text, unknown=True, hub_rest=rest)
    if code >= 500 or not code:
        text = f"cannot be asked about: the Hub has trouble (HTTP {code or '?'}); it is asked again soon"
        return Status(place, "down", text, unknown=True)
    return Status(
        place, "down", f"is not to be found on the Hub (HTTP {code}); is the name right, or private?"
    )


def _rest(headers: Mapping[str, str]) -> float:
    """For how many seconds a 429 wants no more questions."""
    after = headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit else HUB_REST_SECONDS
