"""Modes with a pretended engine, the Studio over them, or both, as a process that can be killed.

    python -m tests.router.fleet_server PORT --modes t2v i2v --router --pause 0.2

Without --modes the Studio stands alone, over WAN_FEDERATION.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.utils import get_upload_folder

from common.modes.all import MODES
from common.page import theme
from common.page.door import Door, own_names
from common.placement import zerogpu
from common.run.book import Book
from common.settings import state_folder
from router import federation
from router.app import mount
from router.dispatch import Studio
from tests.common.fakes import FakeService, StockedService, manifest, space_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--modes", nargs="*", default=[])
    parser.add_argument("--router", action="store_true")
    parser.add_argument("--pause", type=float, default=0.2)
    parser.add_argument("--hold", type=Path)
    parser.add_argument("--hold-at", type=int, default=3, help="the step that jobs stand still at")
    parser.add_argument("--weights", choices=["nano", "wan"], default="nano")
    parser.add_argument("--gpu-size", choices=["large", "xlarge"], help="pretends a tier of ZeroGPU")
    parser.add_argument("--personal", action="store_true")
    parser.add_argument("--stocked", action="store_true", help="modes with /admin and a pretended disk of models")
    args = parser.parse_args()
    folder = Path(get_upload_folder()).resolve() / "fleet"
    folder.mkdir(parents=True, exist_ok=True)
    app = FastAPI()
    app.add_middleware(Door, names=own_names())
    for key in args.modes:
        backend = zerogpu(args.gpu_size) if args.gpu_size else None
        shown = manifest(MODES[key], weights=args.weights, backend=backend)
        kind = StockedService if args.stocked else FakeService
        service = kind(MODES[key], folder, pause=args.pause, shown=shown, hold=args.hold, hold_at=args.hold_at)
        app = gr.mount_gradio_app(app, space_of(service), path=f"/{key}", **theme.page_options())
    if args.router:
        table = federation.from_env() or federation.mounted(f"http://127.0.0.1:{args.port}", args.modes)
        book, admin = Book.kept(state_folder()), StockedService.admin
        studio = Studio.over(table, personal=args.personal, book=book, admin=admin)
        app = mount(app, studio)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="error")


if __name__ == "__main__":
    main()
