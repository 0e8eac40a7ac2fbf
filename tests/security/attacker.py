"""What anybody with an HTTP client can do to an app: read its page's own wiring and call any of it, by number."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

FILE_TYPES = ("video", "image", "gallery", "uploadbutton", "file", "imageeditor", "audio")
META = {"meta": {"_type": "gradio.FileData"}}


@dataclass
class Attacker:
    """An anonymous visitor of the app at `url` (ending in `/`)."""

    url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def config(self) -> dict[str, Any]:
        return self.http.get(f"{self.url}config").json()

    def upload(self, path: Path) -> str:
        """A file of ours put there; where it lies."""
        with path.open("rb") as file:
            reply = self.http.post(f"{self.url}gradio_api/upload", files={"files": (path.name, file)})
        reply.raise_for_status()
        return reply.json()[0]

    @cached_property
    def queued(self) -> set[int]:
        """The events that wait in line."""
        return {d["id"] for d in self.config()["dependencies"] if d["queue"] is not False}

    def call(self, number: int, data: list[Any]) -> str:
        """Everything that an event of the page answers."""
        session = secrets.token_hex(6)
        body = {"fn_index": number, "data": data, "session_hash": session}
        if number not in self.queued:
            return self.http.post(f"{self.url}gradio_api/run/predict", json=body).text
        joined = self.http.post(f"{self.url}gradio_api/queue/join", json=body)
        return joined.text + self._listen(session) if joined.status_code == 200 else joined.text

    def _listen(self, session: str) -> str:
        told: list[str] = []
        with self.http.stream("GET", f"{self.url}gradio_api/queue/data?session_hash={session}") as reply:
            for line in reply.iter_lines():
                told.append(line)
                if "process_completed" in line or "close_stream" in line:
                    break
        return "\n".join(told)

    def named(self, name: str, **values: Any) -> str:
        """Everything that a named endpoint answers."""
        started = self.http.post(f"{self.url}gradio_api/call/v2/{name}", json=values)
        if started.status_code != 200:
            return started.text
        event = started.json()["event_id"]
        return self.http.get(f"{self.url}gradio_api/call/{name}/{event}").text

    def events_with_files(self) -> Iterator[tuple[int, list[int], list[dict[str, Any]]]]:
        """Every event of the page that takes a file: its number, which inputs are files, and all inputs."""
        config = self.config()
        parts = {part["id"]: part for part in config["components"]}
        for dependency in config["dependencies"]:
            inputs = [parts[i] for i in dependency["inputs"]]
            files = [i for i, part in enumerate(inputs) if part["type"] in FILE_TYPES]
            if files and dependency["backend_fn"]:
                yield dependency["id"], files, inputs

    def served(self, answer: str) -> Iterator[bytes]:
        """Every file that an answer names, as the app serves it."""
        for path in sorted(set(_paths(answer))):
            yield self.http.get(f"{self.url}gradio_api/file={path}").content


def _paths(answer: str) -> Iterator[str]:
    for line in answer.splitlines():
        try:
            found = json.loads(line.removeprefix("data: "))
        except ValueError:
            continue
        yield from _paths_in(found)


def _paths_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for item in value.values():
            yield from _paths_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _paths_in(item)
