"""Every app of the federation in one process: the modes under `/<mode>/`, the Studio at `/`."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from common import cache, ports
from common.catalog import CHECKPOINTS, Weights
from common.modes.all import MODES
from common.runtime import again

if TYPE_CHECKING:
    from fastapi import FastAPI

SPACES = Path(__file__).parent / "spaces"


def load_space(key: str) -> ModuleType:
    """Import `spaces/<key>/app.py` by its path, once; the folder `spaces` is no package.

    The module has `service` (common.run.service.Service) and `demo` (gr.Blocks).
    """
    return again.load(SPACES / key / "app.py")


def prepare_environment(weights: Weights) -> None:
    """Set what the Spaces read at import. Before gradio is imported, or its cache is elsewhere.

    One cache folder for all apps lets a result go from mode to mode as a path, without a copy.
    """
    os.environ["WAN_WEIGHTS"] = weights
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "wan-studio"))
    for noisy in ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if weights == "nano":
        # torchao's compiled kernels are for other torch builds than a laptop's; it says so five times.
        os.environ.setdefault("TORCHAO_FORCE_SKIP_LOADING_SO_FILES", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def download_notice(weights: Weights, modes: Sequence[str] | None = None) -> str:
    """What `--weights wan` will fetch and from where, before anything is fetched."""
    from common import cost

    if weights == "nano":
        return "Weights: Wan-Nano (embedded, nothing to download)"
    if (engine := os.environ.get("WAN_ENGINE", "")).startswith("http"):
        return f"Weights: those of the server at {engine} (nothing to download)"
    keys = dict.fromkeys(
        key for name, mode in MODES.items() if not modes or name in modes for key in mode.checkpoints
    )
    lines = ["Weights: Wan. Each checkpoint is downloaded from the Hub when it is first used:"]
    for key in keys:
        row = CHECKPOINTS[key]
        lines.append(
            f"  {row.key:24} {cost.download_bytes(row) / 1e9:6.0f} GB  https://huggingface.co/{row.repo}"
        )
    return "\n".join(lines)


def loaded(modes: Sequence[str]) -> dict[str, ModuleType]:
    """These modes' apps; one that a server of others does not make is told in a line and left out, unless all are."""
    from common.errors import UnavailableError

    found, missing = dict[str, ModuleType](), list[UnavailableError]()
    for key in modes:
        try:
            found[key] = load_space(key)
        except UnavailableError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    for error in missing:
        print(error.text, flush=True)
    return found


def build_app(base_url: str, modes: Sequence[str] | None = None, *, personal: bool = False) -> FastAPI:
    """One FastAPI app with every mode mounted at `/<mode>/` and the Studio, mounted last, at `/`.

    `personal` says that nobody but this machine's user can come.
    """
    import gradio as gr
    from fastapi import FastAPI

    from common.page.door import Door, own_names
    from common.page.theme import page_options
    from common.run.book import Book
    from common.settings import SpaceSettings, state_folder
    from router import federation
    from router.app import mount
    from router.dispatch import Studio

    app = FastAPI(title="Wan Studio")
    app.add_middleware(Door, names=own_names())
    served = loaded(modes or list(MODES))
    for key, space in served.items():
        demo = space.demo
        app = gr.mount_gradio_app(app, demo, path=f"/{key}", mcp_server=True, **page_options())
        # Else the first MCP caller's Host header decides where everybody's calls go.
        demo.mcp_server_obj._local_url = f"{base_url}/{key}/"
    table = federation.from_env() or federation.mounted(base_url, served)
    admin = SpaceSettings.from_env().admin if personal else ""
    studio = Studio.over(table, personal=personal, book=Book.kept(state_folder()), admin=admin)
    return mount(app, studio)


def serve(host: str, port: int, weights: Weights, modes: Sequence[str] | None = None) -> None:
    """Build and serve until Ctrl-C."""
    prepare_environment(weights)
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    os.environ.setdefault("WAN_STATE", str(data / "wan-studio"))
    if ports.loopback(host) and not os.environ.get("WAN_FEDERATION"):
        # What is mounted here is the user's own: Settings may clear, download and delete.
        os.environ.setdefault("WAN_ADMIN", secrets.token_hex(16))
    cache.check_free()
    print(download_notice(weights, modes), flush=True)
    import uvicorn

    # The router calls its modes over loopback, whatever address it listens on.
    app = build_app(f"http://127.0.0.1:{port}", modes, personal=ports.loopback(host))
    if os.environ.get("WAN_ENGINE"):  # workers have nothing else to do
        again.loaded()[0].warm()
    print(f"Wan Studio is at http://{host}:{port}", flush=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)
