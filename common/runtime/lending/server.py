"""What is said to a server of `POST /v1/videos` (vLLM-Omni, SGLang), and what it answers: nothing of it is trusted.

Both take the same form for text and a first picture, and have jobs with `status` and `progress`; both keep them in
memory, so that a server that was started anew knows none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx

from common.budgets import BUDGETS
from common.errors import GpuError, InputError, ResultError, StudioError, UnavailableError, shown

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
"""Between two bytes of an answer: so long may a stop have to wait, too."""
BEGIN_SECONDS = 60.0
"""Until a job is taken, its picture sent."""
ANSWER_BYTES = 1_000_000
"""An answer that is no video is smaller by far."""
WORDS = 300
"""Characters of a server's own words that are passed on."""
PIECE = 1_000_000
BUSY = (429, 503)
LEAST_WAIT, MOST_WAIT = 1.0, 30.0
"""Seconds until a busy server is asked again, whatever it says itself."""
NAMES = {"vllm-omni": "vLLM-Omni", "vllm": "vLLM-Omni", "sglang": "SGLang"}


class Unreachable(Exception):
    """The server did not answer this once; it may be there."""


class Gone(Exception):
    """The server knows nothing of the job."""


class Busy(Exception):
    """The server takes no further job now."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(frozen=True)
class Card:
    """Who serves: `kind` is what it calls itself, `models` the names of what it has, `version` its own."""

    kind: str
    models: tuple[str, ...]
    version: str = ""

    @property
    def name(self) -> str:
        """As people call it."""
        return NAMES.get(self.kind, "The server")


@dataclass(frozen=True)
class Seen:
    """How a job is: `progress` from 0 to 100, `words` why it failed."""

    status: str
    progress: int = 0
    words: str = ""


class Server:
    """One such server. StudioError for what is final; Unreachable, Gone or Busy for what may pass."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.where = httpx.URL(url).netloc.decode()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.Client(headers=headers, timeout=timeout, follow_redirects=False)

    def card(self) -> Card:
        """What it serves."""
        answer = self._json("GET", "/v1/models")
        rows = [row for row in _list(answer.get("data")) if isinstance(row.get("id"), str)]
        names = [shown(str(row[field]), 200) for row in rows for field in ("id", "root") if row.get(field)]
        kind = str(rows[0].get("owned_by", "")).lower() if rows else ""
        version = ""
        with suppress(StudioError, Unreachable, Gone, Busy):  # not all of them tell
            version = str(self._json("GET", "/version").get("version", ""))
        version = version if re.fullmatch(r"[\w.+-]{1,60}", version) else ""
        return Card(kind if kind in NAMES else "", tuple(dict.fromkeys(names)), version)

    def begin(self, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> str:
        """Begins a job, and returns its id. Never asked twice by itself: the first may have been heard."""
        timeout = httpx.Timeout(BEGIN_SECONDS, connect=CONNECT_SECONDS)
        # As a form even where there is no file: vLLM-Omni takes no other.
        parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in fields.items()]
        answer = self._json("POST", "/v1/videos", files=[*parts, *files.items()], timeout=timeout)
        job = answer.get("id")
        if not isinstance(job, str) or not 0 < len(job) <= 200:
            raise GpuError("the server took the job and named no id; is it a server of /v1/videos?", title=BROKEN)
        return job

    def look(self, job: str) -> Seen:
        """How far a job is."""
        answer = self._json("GET", f"/v1/videos/{quote(job, safe='')}")
        progress, error = answer.get("progress"), answer.get("error")
        known = isinstance(progress, int | float) and 0 <= progress <= 100
        status = shown(str(answer.get("status", "")).strip().lower(), 40)
        return Seen(status, int(cast(float, progress)) if known else 0, _words(error) if error else "")

    def fetch(self, job: str, path: Path, check: Callable[[int, int], None]) -> None:
        """Copies a finished video; `check` is told the bytes that are there, and of how many where that is known."""
        most = BUDGETS.upload_bytes
        with self._asked("GET", f"/v1/videos/{quote(job, safe='')}/content") as response, path.open("wb") as file:
            said = response.headers.get("content-length", "")
            total = int(said) if said.isdecimal() and len(said) < 20 else 0
            done = 0
            if total <= most:
                for piece in response.iter_bytes(PIECE):
                    done += len(piece)
                    if done > most:
                        break
                    file.write(piece)
                    check(done, total)
            if max(done, total) > most:
                raise ResultError(
                    f"the server's video is larger than {most / 1e6:.0f} MB, more than is kept of one "
                    "(WAN_LIMIT_UPLOAD_BYTES); ask for fewer frames or a smaller size"
                )

    def forget(self, job: str) -> None:
        """Ends a job where the server can, and frees what it keeps of it, as far as it answers."""
        with suppress(StudioError, Unreachable, Gone, Busy):
            self._json("DELETE", f"/v1/videos/{quote(job, safe='')}")

    # ------------------------------------------------------------------ the wire

    def _json(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        with self._asked(method, path, **given) as response:
            body = _read(response)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise UnavailableError("what WAN_ENGINE names answers, but not as a server of /v1/videos does") from None
        return cast("dict[str, Any]", answer)

    @contextmanager
    def _asked(self, method: str, path: str, **given: Any) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, self.url + path, **given) as response:
                if not response.is_success:
                    self._refuse(method, path, response)
                yield response
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from None

    def _refuse(self, method: str, path: str, response: httpx.Response) -> None:
        code, words = response.status_code, _said(response)
        if code in (401, 403):
            raise UnavailableError("the server of WAN_ENGINE refuses its key; see WAN_ENGINE_KEY")
        if code in BUSY:
            said = response.headers.get("retry-after", "")
            raise Busy(min(max(float(said) if said.isdecimal() else 2.0, LEAST_WAIT), MOST_WAIT))
        if code == 404 and path.startswith("/v1/videos/"):
            raise Gone
        if code in (404, 405):
            raise UnavailableError(f"what WAN_ENGINE names has no {path}; it must be a server of videos")
        if method == "POST" and 400 <= code < 500:
            raise InputError("the request", f"was refused by the server: {words or f'status {code}'}")
        if method == "GET" and code >= 500:
            raise Unreachable(f"status {code}")
        raise GpuError(f"the server answered {code}{': ' if words else ''}{words}; see its log", title=BROKEN)


BROKEN = "The server failed"


def _read(response: httpx.Response) -> bytes:
    body = b""
    for piece in response.iter_bytes(64_000):
        body += piece
        if len(body) > ANSWER_BYTES:
            return b""
    return body


def _said(response: httpx.Response) -> str:
    try:
        text = _read(response).decode("utf-8", "replace")
    except httpx.HTTPError:
        return ""
    try:
        return _words(json.loads(text))
    except (ValueError, RecursionError):
        return _plain(text)


def _words(answer: Any, depth: int = 4) -> str:
    """A server's own words: plain, on one line, and not without end."""
    if isinstance(answer, str) or not depth:
        return _plain(answer) if isinstance(answer, str) else ""
    if isinstance(answer, dict):
        known = cast("dict[str, Any]", answer)
        found = next((known[key] for key in ("error", "detail", "message", "msg") if known.get(key)), "")
        where, text = known.get("loc"), _words(found, depth - 1)
        return shown(f"{where[-1]}: {text}", WORDS) if text and isinstance(where, list) and where else text
    rows = cast("list[Any]", answer)[:3] if isinstance(answer, list) else []
    return shown("; ".join(filter(None, (_words(row, depth - 1) for row in rows))), WORDS)


def _plain(text: str) -> str:
    text = re.sub(r"<(style|script|head)\b.{0,20000}?</\1>", " ", text[:50_000], flags=re.S | re.I)
    return shown(" ".join(re.sub(r"<[^<>]*>", " ", text).split()), WORDS)


def _list(value: Any) -> list[dict[str, Any]]:
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", row) for row in rows[:100] if isinstance(row, dict)]
