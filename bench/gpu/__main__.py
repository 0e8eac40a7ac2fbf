"""`python -m bench.gpu PART ... [--out FILE]`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PARTS = ("decode", "forward", "clip")


def main() -> int:
    """1 without a CUDA card."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench.gpu needs a CUDA card", file=sys.stderr)
        return 1
    done: dict[str, Any] = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for part in args.parts:
        done[part] = {
            "device": torch.cuda.get_device_name(),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {name: version(name) for name in ("torch", "diffusers")},
            "rows": importlib.import_module(f"bench.gpu.{part}").measure(),
        }
        if args.out:
            args.out.write_text(json.dumps(done, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
