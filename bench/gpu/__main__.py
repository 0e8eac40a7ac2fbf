"""`python -m bench.gpu PART ... [--case CASE ...] [--way WAY ...] [--out FILE]`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PARTS = ("attention", "decode", "forward", "clip", "start")
NAMES = ("way", "checkpoint", "preset", "size", "tokens")
"""What says of a row which one it is."""


def main() -> int:
    """1 without a CUDA card."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--case", nargs="+", default=(), help="of clip: fast, quality; the others stay as they were")
    parser.add_argument("--way", nargs="+", default=(), help="of clip: diffusers, studio")
    parser.add_argument("--out", type=Path, help="written after each row; tensors of clips lie beside it")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench.gpu needs a CUDA card", file=sys.stderr)
        return 1
    done: dict[str, Any] = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for part in args.parts:
        before = done[part]["rows"] if part in done and (args.case or args.way) else []
        asked = (args.case, args.way, before, args.out and args.out.with_suffix("")) if part == "clip" else ()
        done[part] = {
            "device": torch.cuda.get_device_name(),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {name: version(name) for name in ("torch", "diffusers")},
            "rows": before,
        }
        for rows in written(before, importlib.import_module(f"bench.gpu.{part}").measure(*asked)):
            done[part]["rows"] = rows
            if args.out:
                args.out.write_text(json.dumps(done, indent=1) + "\n")
    return 0


def written(before: list[dict[str, Any]], made: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """All rows after each that is made, which takes the place of the one that it repeats."""
    rows = before
    for row in made:
        named = [row.get(name) for name in NAMES]
        rows = [r for r in rows if [r.get(name) for name in NAMES] != named] + [row]
        yield rows


if __name__ == "__main__":
    sys.exit(main())
