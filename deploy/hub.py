"""Calls to the Hub that wait out its bad moments and turn its refusals into sentences."""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, get_token, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OIDCError,
    RepositoryNotFoundError,
)

from common.errors import Cancelled
from deploy.errors import Conflict, DeployError, Missing, Raced, Refused

T = TypeVar("T")
R = TypeVar("R")
Say = Callable[[str], None]
Sleep = Callable[[float], None]

AT_ONCE = 3
"""Spaces handled in parallel: more runs into the Hub's rate limits."""

TRIES = 6
LONGEST_WAIT = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NETWORK = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    ConnectionError,
    TimeoutError,
)


class Hub:
    """An `HfApi` with patience. `sleep` and `say` are seams for tests and the command line."""

    def __init__(self, api: HfApi, *, sleep: Sleep | None = None, say: Say = print) -> None:
        self.api = api
        self.say = say
        self._stopped = threading.Event()
        self._sleep: Callable[[float], object] = sleep or self._stopped.wait

    def sleep(self, seconds: float) -> None:
        """Wait; Cancelled once somebody has pressed Ctrl-C."""
        self._sleep(seconds)
        if self._stopped.is_set():
            raise Cancelled("stopped; run the same command again, it goes on where it stopped")

    def each(self, function: Callable[[R], T], items: Iterable[R]) -> list[T]:
        """`function` of every item, a few at a time, in the order given. Ctrl-C ends those that wait."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                return list(pool.map(function, items))
            except KeyboardInterrupt:
                self._stopped.set()  # the pool waits for its threads, and they may be waiting for an hour
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def call(self, doing: str, function: Callable[[], T]) -> T:
        """`function()`, tried again on 408, 429, 5xx and network trouble; DeployError for the rest.

        `doing` completes "could not …".
        """
        for attempt in range(1, TRIES + 1):
            try:
                return function()
            except (HfHubHTTPError, RuntimeError) as error:
                refusal = _refusal(error)
                if refusal is None:
                    raise
                status = refusal.response.status_code if refusal.response is not None else 0
                if status not in _PASSING:
                    raise sentence(doing, status, refusal) from error
                why, wait = f"HTTP {status}", _retry_after(refusal)
            except LocalTokenNotFoundError as error:
                raise DeployError(
                    f"could not {doing}: no Hub token here; run `hf auth login`, or set HF_TOKEN"
                ) from error
            except OIDCError as error:
                raise DeployError(
                    f"could not {doing}: the job got no token as a trusted publisher ({error}); give it "
                    "`permissions: id-token: write` and add this repository and workflow on the Space"
                ) from error
            except _NETWORK as error:
                why, wait = type(error).__name__, None
            if attempt < TRIES:
                # Jitter, for three Spaces are pushed at once and would all come back at the same moment.
                wait = min(wait if wait is not None else 2.0 ** (attempt - 1) + random.random(), LONGEST_WAIT)
                self.say(f"  the Hub answered {why} to {doing}; trying again in {wait:.0f} s")
                self.sleep(wait)
        raise DeployError(
            f"could not {doing}: the Hub kept answering {why} {TRIES} times; "
            "run the same command again later, it goes on where it stopped"
        )

    def read_json(
        self, repo_id: str, path: str, revision: str | None = None, repo_type: str | None = None
    ) -> dict[str, Any]:
        """The table in a file of a repository; {} where the file holds something else."""
        with tempfile.TemporaryDirectory() as cache:
            file = self.call(
                f"read {path} of {repo_id}",
                lambda: hf_hub_download(
                    repo_id,
                    path,
                    revision=revision,
                    repo_type=repo_type,
                    endpoint=self.api.endpoint,
                    token=self.api.token,
                    cache_dir=cache,
                ),
            )
            try:
                found = json.loads(Path(file).read_bytes())
            except ValueError:
                return {}
        return found if isinstance(found, dict) else {}

    @property
    def token(self) -> str | None:
        """The token that calls go out with: the client's own, or the one that `hf auth login` has left."""
        own = self.api.token
        if own is None:
            return self.call("find a token", get_token)
        return own if isinstance(own, str) else None

    def account(self) -> dict[str, object]:
        """Who the token belongs to."""
        # HfApi's own whoami replaces the message of a 401; the status is what counts here.
        return self.call("ask who the token belongs to", lambda: self.api.whoami(cache=True))


def _refusal(error: BaseException | None) -> HfHubHTTPError | None:
    """The Hub's own answer, also where an upload of a large file wrapped it in a RuntimeError."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _retry_after(error: HfHubHTTPError) -> float | None:
    value = error.response.headers.get("retry-after", "") if error.response is not None else ""
    return float(value) if value.isdigit() else None


def sentence(doing: str, status: int, error: HfHubHTTPError) -> DeployError:
    """A refusal as a sentence with a way out, keeping what the Hub itself said."""
    said = (error.server_message or "").strip().rstrip(".")
    why = f" ({said})" if said else ""
    start = f"could not {doing}"
    if status == 412:
        return Raced(f"{start}: somebody committed meanwhile{why}")
    if status == 409:
        return Conflict(f"{start}: it exists already{why}")
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return Missing(f"{start}: not found, or private and not for this token{why}")
    if status == 401:
        return DeployError(f"{start}: the token is not valid{why}; run `hf auth login` with a write token")
    if status == 402:
        return DeployError(
            f"{start}: the account's plan does not include it{why}; Gradio Spaces need PRO or Team, paid "
            "hardware needs credits (huggingface.co/settings/billing); `deploy doctor` lists the limits"
        )
    if status == 403:
        return Refused(
            f"{start}: refused{why}; the token needs write access to this namespace, and ZeroGPU Spaces are "
            "limited: 2 (free), 10 (PRO) or 50 (Team): delete one, change `hardware`, or ask `deploy doctor`"
        )
    return DeployError(f"{start}: the Hub answered HTTP {status}{why}")
