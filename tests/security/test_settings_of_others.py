"""A hosted Studio's visitor calls every event of its page as if it had the buttons of Settings: nothing happens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.common.fakes import StockedService
from tests.fleet import end, free_port, start
from tests.security.attacker import Attacker

KEY = "wan2.2-t2v-a14b"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Studio that others come to, whose modes have `/admin` and whose router even knows the secret."""
    port, env = free_port(), {"GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("hosted"))}
    process = start(port, "--modes", "t2v", "--router", "--stocked", "--weights", "wan", env=env)
    yield f"http://127.0.0.1:{port}/"
    end(process)


def stock(url: str) -> tuple[Any, ...]:
    """What a mode has on disk, in memory and in its cache."""
    reply = httpx.post(f"{url}t2v/gradio_api/run/manifest", json={"data": []}, timeout=60)
    told = reply.json()["data"][0]
    return [info["disk"] for info in told["checkpoints"]], told["loaded"], told["cache_bytes"]


def test_no_event_of_a_hosted_page_acts_on_models_or_caches(hosted: str) -> None:
    attacker, before = Attacker(hosted), stock(hosted)
    config = attacker.config()
    assert not [part for part in config["components"] if "data-do=\"delete\"" in str(part["props"].get("value"))]
    tried = 0
    for event in config["dependencies"]:
        targets = [kind for _, kind in event["targets"]]
        if not event["backend_fn"] or event["queue"] is not False or "click" not in targets:
            continue
        for action in ("delete", "clear_cache", "unload", "download"):
            body = {
                "fn_index": event["id"], "data": [None] * len(event["inputs"]),
                "event_data": {"act": action, "mode": "t2v", "key": KEY},
                "session_hash": secrets.token_hex(6), "trigger_id": event["targets"][0][0],
            }  # fmt: skip
            attacker.http.post(f"{hosted}gradio_api/run/predict", json=body)
            tried += 1
    assert tried > 20 and stock(hosted) == before


def test_the_modes_own_admin_takes_no_guess(hosted: str) -> None:
    before = stock(hosted)
    own = StockedService.admin
    for key in ("", None, 0, [own], {"key": own}, own[:-1], "a" * 100_000):
        body = {"data": [key, f"delete {KEY}"]}
        reply = httpx.post(f"{hosted}t2v/gradio_api/run/admin", json=body, timeout=60)
        assert not reply.is_success and stock(hosted) == before
