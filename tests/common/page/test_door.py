"""Who may knock: any address of this machine, its own names, those that a deployer adds; no other site's pages."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from common.budgets import Budgets
from common.page import door
from common.page.door import Door, own_names


async def _stumble(request: Request) -> PlainTextResponse:
    raise KeyError("/home/ada/secret")


async def _size(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> TestClient:
    app = Starlette()
    app.add_route("/gradio_api/upload", _size, methods=["POST"])
    app.add_route("/stumble", _stumble)
    app.add_route("/", _size, methods=["GET", "POST"])
    app.add_middleware(Door, names=own_names("studio.example, other.example"))
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost", "LOCALHOST:80", "[::1]:7860", "192.168.1.7", "studio.example:443"]
)
def test_own_hosts_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200
    assert client.get("/", headers={"origin": f"http://{host}"}).status_code == 200


@pytest.mark.parametrize("header", ["host", "x-forwarded-host", "origin"])
@pytest.mark.parametrize(
    "value",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "null", "http://", "http://[x", ""],
)
def test_others_are_not(client: TestClient, header: str, value: str) -> None:
    reply = client.get("/", headers={header: value})
    assert reply.status_code == 403
    assert "set WAN_HOSTS" in reply.text


def test_a_body_has_an_end_but_an_upload_is_counted_elsewhere(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BUDGETS", Budgets(request_bytes=1_000_000))
    assert client.post("/", content=b"x" * 1_000_000).text == "1000000"
    assert client.post("/", content=b"x" * 1_000_001).status_code == 413
    assert client.post("/gradio_api/upload", content=b"x" * 1_000_001).text == "1000001"
    endless = client.post("/", content=iter([b"x" * 600_000] * 3))
    assert endless.status_code == 413 and "must be at most 1 MB" in endless.text


def test_what_a_route_stumbles_over_is_a_refusal_in_words(client: TestClient) -> None:
    reply = client.get("/stumble")
    assert reply.status_code == 400 and reply.text.startswith("this request cannot be read (KeyError)")


def test_on_the_hub_every_name_is_let_in_and_the_rest_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Starlette()
    app.add_route("/", _size, methods=["POST"])
    app.add_middleware(Door, names=None)
    monkeypatch.setattr(door, "BUDGETS", Budgets(request_bytes=100))
    client = TestClient(app, base_url="https://ada-wan.hf.space")
    assert client.post("/", content=b"x", headers={"origin": "https://huggingface.co"}).text == "1"
    assert client.post("/", content=b"x" * 101).status_code == 413
