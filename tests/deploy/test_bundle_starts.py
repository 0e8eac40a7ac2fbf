"""Bundles start in a clean venv (slow): their own requirements and what the platform brings, no more."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from deploy import bundle, federation, targets, venvs
from deploy.local import LocalFederation
from tests.deploy.test_deploy_local import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LOCAL_TORCH = "torch==2.13.0"
"""The CPU build that constraints.txt names; the platform's 2.11.0 brings three gigabytes of CUDA."""


def test_bundle_starts_in_a_clean_venv_and_knows_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bundle for each distinct set of requirements, in its own venv; started from outside of this checkout.

    That every other bundle starts as well, test_deploy_federation shows.
    """
    monkeypatch.setenv("PIP_NO_COMPILE", "1")  # most of what is installed is never imported
    every = targets.resolve(federation.load(profile="demo"), "ada")
    asked = {bundle.build(target).files["requirements.txt"]: target for target in reversed(every)}
    wanted = [target for target in every if target in asked.values()]
    cache = os.environ.get("WAN_TEST_VENVS")  # kept between runs where somebody says so
    folder = Path(cache) if cache else tmp_path / "venvs"
    python = venvs.for_targets(wanted, torch=LOCAL_TORCH, folder=folder)
    assert len(set(python.values())) == len(wanted) < len(every)
    router = next(t for t in wanted if t.is_router)
    installed = {p.name for p in python[router.name].parent.parent.glob("lib/python*/site-packages/*")}
    assert "gradio" in installed and not {"torch", "diffusers", "transformers"} & installed
    local = LocalFederation(wanted, tmp_path / "run", free_ports(len(wanted)), python=python)
    (tmp_path / "run").mkdir(exist_ok=True)
    try:
        local.start(300)
        for target in wanted:
            if target.is_router:
                continue
            reply = httpx.post(
                f"{local.url(target.name)}/gradio_api/run/manifest", json={"data": []}, timeout=60
            )
            manifest = reply.json()["data"][0]
            assert (manifest["mode"], manifest["weights"]) == (target.mode, "nano")
    finally:
        local.stop()
