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

from common.run.runner import VISITOR

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

    def call(self, number: int, data: list[Any], said: dict[str, Any] | None = None) -> str:
        """Everything that an event of the page answers; `said` is what its component's script tells with it."""
        session = secrets.token_hex(6)
        body = {"fn_index": number, "data": data, "session_hash": session, "event_data": said}
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
        for path in sorted(set(paths(answer))):
            yield self.http.get(f"{self.url}gradio_api/file={path}").content


class Page(Attacker):
    """The Studio's page in the hands of who has a secret."""

    def __init__(self, url: str, secret: str) -> None:
        super().__init__(url)
        self.secret = secret
        self.http.headers[VISITOR] = secret
        config = self.config()
        self.parts = {part["id"]: part for part in config["components"]}
        self.events = [event for event in config["dependencies"] if event["backend_fn"]]

    def generate(self, words: str, job: str) -> str:
        """A first job of Text to Video, to its end."""
        event, data = self._asked(words, job)
        return self.call(event["id"], data)

    def begin(self, words: str, job: str) -> None:
        """The same without waiting for its end."""
        event, data = self._asked(words, job)
        body = {"fn_index": event["id"], "data": data, "session_hash": secrets.token_hex(6)}
        assert self.http.post(f"{self.url}gradio_api/queue/join", json=body).status_code == 200

    def _asked(self, words: str, job: str) -> tuple[dict[str, Any], list[Any]]:
        event = next(e for e in self.events if self.kinds(e["outputs"])[:1] == ["video"] and self._prompt(e))
        data = self.values(event)
        data[:3] = [job, self.secret, False]
        data[self._prompt(event)[0]] = words
        return event, data

    def draft(self, words: str, batch: str) -> str:
        """The button below the inputs that asks for drafts."""
        labels = {part["id"]: part["props"].get("value") for part in self.parts.values() if part["type"] == "button"}
        event = next(
            e for e in self.events
            if self._prompt(e) and any(str(labels.get(t)).endswith(" drafts") for t, _ in e["targets"])
        )  # fmt: skip
        data = self.values(event)
        data[:2] = [batch, self.secret]
        data[self._prompt(event)[0]] = words
        return self.call(event["id"], data)

    def queue(self) -> dict[str, str]:
        """Jobs and their states, as the Queue lists them when the page is opened."""
        event = next(e for e in self.events if len(e["outputs"]) == 8 and self._loads(e))
        html = json.loads(self.call(event["id"], [self.secret]))["data"][0]
        rows = html.split('<li class="job ')[1:]
        return {row.split('data-job="')[1].split('"')[0]: row.split('"')[0] for row in rows}

    def values(self, event: dict[str, Any]) -> list[Any]:
        return [self.parts[i]["props"].get("value") for i in event["inputs"]]

    def kinds(self, ids: list[int]) -> list[str]:
        return [self.parts[i]["type"] for i in ids]

    def _prompt(self, event: dict[str, Any]) -> list[int]:
        classes = [self.parts[i]["props"].get("elem_classes") or [] for i in event["inputs"]]
        return [place for place, names in enumerate(classes) if "prompt" in names]

    def _loads(self, event: dict[str, Any]) -> bool:
        return any(name == "load" for _, name in event["targets"])


def paths(answer: str) -> Iterator[str]:
    """Every path that an answer names."""
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
