"""The whole federation at once (slow): pushed to the stand-in Hub, run from its bundles, used in a browser.

Every mode is known by its Space name alone, which the stand-in maps to a process on loopback. The federation
is private, so that files between modes go the longest way, through the router.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from deploy import federation, targets, verify
from deploy.hub import Hub
from deploy.local import LocalFederation
from deploy.push import Push
from deploy.targets import Target
from router.chaining import meanings
from tests import tools
from tests.browser.hands import unfold
from tests.deploy.test_deploy_local import eventually, free_ports
from tests.hub_stand_in import Hub as StandIn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPT = "a red circle moving right on a black background"
READ_TOKEN = "hf_read"
START_SECONDS = 240
SPEECH = Path(__file__).parents[2] / "common/examples/speech.mp3"


@dataclass
class World:
    """A stand-in Hub and the federation that it believes to run."""

    server: StandIn
    hub: Hub
    targets: list[Target]
    local: LocalFederation

    def target(self, name: str) -> Target:
        return next(t for t in self.targets if t.name == name)

    def process(self, name: str) -> Any:
        return next(p for p in self.local.programs if p.name == name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every built mode and the router: processes first, then a real push that finds them answering."""
    os.environ["WAN_TEST_READ_TOKEN"] = READ_TOKEN
    disabled, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    wanted = [
        replace(t, secrets={federation.READ_TOKEN: "WAN_TEST_READ_TOKEN"}) if t.is_router else t
        for t in targets.resolve(federation.load(profile="demo"), "ada")
    ]
    with StandIn().serve() as server:
        local = LocalFederation(
            wanted,
            tmp_path_factory.mktemp("federation"),
            free_ports(len(wanted)),
            addresses={t.name: t.repo_id for t in wanted},
            env={"HF_ENDPOINT": server.url, "HF_TOKEN": ""},
        )
        server.hosts = {t.repo_id: local.url(t.name) for t in wanted}
        hub = Hub(HfApi(endpoint=server.url, token="hf_write"), sleep=lambda _: None, say=lambda _: None)
        try:
            local.start(START_SECONDS)
            results = Push(hub).run(wanted)
            assert [r.outcome for r in results] == ["pushed"] * len(wanted), [r.text for r in results]
            yield World(server, hub, wanted, local)
        finally:
            local.stop()
            constants.HF_HUB_DISABLE_XET = disabled
            os.environ.pop("WAN_TEST_READ_TOKEN", None)


def test_deploy_verify_of_every_running_bundle(world: World) -> None:
    """`push` has asked each app already; `verify` says the same, with one real clip."""
    for target in world.targets:
        said = verify.verify(world.hub, target)
        assert "not tagged" not in said
        assert said.startswith(
            "the page answers"
            if target.is_router
            else f"{target.mode} answers with contract {CONTRACT_VERSION}"
        )
    assert "made a clip in" in verify.verify(world.hub, world.target("t2v"), generate=True)


def test_deploy_client_finds_a_bundle_by_its_space_name(world: World) -> None:
    """As any visitor would: Client("namespace/space"), with the Hub's address as the only hint."""
    code = f"""
        from gradio_client import Client
        client = Client({world.target("t2v").repo_id!r}, verbose=False, download_files=False)
        video, event = client.predict(
            prompt={PROMPT!r}, num_frames=5, num_inference_steps=2, seed=1, api_name="/generate")
        print(event["type"], video["path"])
    """
    env = {
        **os.environ,
        "HF_ENDPOINT": world.server.url,
        "HF_TOKEN": "",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=400, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kind, path = done.stdout.split()
    assert kind == "done" and Path(path).stat().st_size > 1000


@pytest.fixture
def page(world: World) -> Iterator[Any]:
    """The Studio in Chromium, on Wan 2.1, with every mode answering."""
    from playwright import sync_api as api

    api.expect.set_options(timeout=150_000)
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=tools.chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(world.local.url("router"))
        api.expect(row(page, "t2v")).not_to_have_class(OFF)
        # V2V and VACE have no 2.2 checkpoint, Animate has no other: under 2.1 the rest can be used.
        page.locator(".studio-header .generation input").click()
        page.get_by_role("option", name="Wan 2.1").click()
        for target in world.targets:
            if target.mode and "2.1" in MODES[target.mode].generations():
                api.expect(row(page, target.mode)).not_to_have_class(OFF)
        yield page
        browser.close()


OFF = re.compile(r"\boff\b")


def row(page: Any, mode: str) -> Any:
    """A mode's row in the sidebar."""
    return page.locator(f'.nav [data-page="{mode}"]')


def go(page: Any, mode: str) -> Any:
    """Open a mode by its row; its panel."""
    from playwright.sync_api import expect

    row(page, mode).click()
    here = page.locator(f".page-{mode}")
    expect(here).to_be_visible()
    return here


def generate(here: Any) -> None:
    """Press Generate in a panel."""
    unfold(here)
    here.locator(".prompt textarea").fill(PROMPT)
    here.get_by_role("button", name="Generate", exact=True).click()


def finished(here: Any) -> None:
    """Wait until the panel shows its video."""
    from playwright.sync_api import expect

    expect(here.locator(".progress.done")).to_be_visible()
    expect(here.locator(".result-video video")).to_be_visible()


def test_deploy_studio_generates_in_every_mode_and_chains_them(world: World, page: Any) -> None:
    """At the router: T2V makes a clip, which is sent on to every other mode and used there."""
    from playwright.sync_api import expect

    here = go(page, "t2v")
    generate(here)
    finished(here)
    reached: list[str] = []
    for mode in (t.mode for t in world.targets if t.mode not in (None, "t2v")):
        meant = [m for m in meanings("t2v") if m.target == mode]
        # One meaning for each input: two frames for FLF2V, one of the three for I2V, the last for VACE.
        for meaning in {m.slot: m for m in meant}.values():
            go(page, "t2v").locator("button.send").click()
            page.locator(f'#send-menu [data-send="{meaning.key}"]').click()
            here = page.locator(f".page-{mode}")
            here.wait_for(state="visible")
        if mode == "vace":
            here.get_by_label("Frames kept of the clip").fill("5")
        if mode == "s2v":  # a clip without a sound says nothing
            here.locator("#s2v-audio input[type=file]").set_input_files(str(SPEECH))
            expect(here.locator("#s2v-duration input, #s2v-duration textarea")).to_have_value(
                re.compile("frames in")
            )
        if meant:
            generate(here)
            finished(here)
            assert "from t2v" in here.locator(".progress.done").inner_text()
            reached.append(str(mode))
    assert "i2v" in reached
    log = "".join(p.log.read_text(errors="replace") for p in world.local.programs)
    assert READ_TOKEN not in log and "hf_write" not in log


def test_deploy_studio_survives_the_death_of_a_mode(world: World, page: Any) -> None:
    """Killed in mid-job: a sentence, a greyed row, and both come back by themselves."""
    from playwright.sync_api import expect

    here = go(page, "t2v")
    generate(here)
    finished(here)
    program = world.process("t2v")
    first = program.pid
    page.locator(".studio-header").get_by_text("Quality", exact=True).click()
    generate(here)
    expect(here.locator(".progress")).to_contain_text(re.compile("Denoising|Step|Decoding"))
    os.kill(first, signal.SIGKILL)
    expect(here.get_by_role("alert")).to_be_visible(timeout=60_000)
    expect(row(page, "t2v")).to_have_class(OFF, timeout=60_000)
    expect(row(page, "i2v")).not_to_have_class(OFF)
    eventually(lambda: program.pid not in (None, first), 60)
    world.local.wait_for("t2v", START_SECONDS)
    expect(row(page, "t2v")).not_to_have_class(OFF, timeout=60_000)
    page.locator(".studio-header").get_by_text("Fast", exact=True).click()
    generate(here)
    finished(here)
