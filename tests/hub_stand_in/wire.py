"""A request and an answer of the stand-in Hub."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.hub_stand_in.server import Account


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    account: Account | None
    has_token: bool
    base: str

    def json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")


@dataclass
class Reply:
    """One answer."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def missing(code: str) -> Reply:
    return Reply(404, {"error": code}, {"X-Error-Code": code})
