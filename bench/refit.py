"""The factors of `common/cost.json` that say what compiled blocks gain, from a run of `python -m bench.gpu`.

`python -m bench.refit [FILE] [--write]` prints them, or puts them there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from common import cost
from common.catalog import CHECKPOINTS

RESULTS = Path(__file__).parent / "results" / "gpu-h200.json"
TABLE = Path(cost.__file__).with_suffix(".json")
WAYS = {"exact": "and 8-bit products", "rounded": "and 8-bit attention"}
OURS = "fp16 compiled"


def factors(seen: dict[str, Any]) -> dict[str, Any]:
    """Of seconds by the rates of plain diffusers: forwards, and decodes by VAE."""
    dense, rate = CHECKPOINTS["wan2.1-t2v-14b"].architecture, cost.rates("cuda").tflops * 1e12
    forward = {
        (row["way"], tuple(row["size"])): row["ms"] / 1000 for row in seen["forward"]["rows"] if row["size"]
    }

    def gain(way: str) -> float:
        each = [ms * rate / cost.forward_flops(dense, *size) for (name, size), ms in forward.items() if name == way]
        return round(statistics.mean(each), 2)

    stock = {tuple(r["size"]): r["seconds"] for r in seen["decode"]["rows"] if r["way"] == "stock fp32"}
    decode: dict[str, list[float]] = {}
    for row in (r for r in seen["decode"]["rows"] if r["way"] == OURS):
        spatial = CHECKPOINTS[row["checkpoint"]].architecture.spatial
        decode.setdefault(str(spatial), []).append(row["seconds"] / stock[tuple(row["size"])])
    return {
        "compiled_factors": {name: gain(way) for name, way in WAYS.items()},
        "compiled_decode_factors": {s: round(statistics.mean(each), 2) for s, each in decode.items()},
    }


def main() -> int:
    """Prints the factors; with --write cost.json has them afterwards."""
    parser = argparse.ArgumentParser(prog="python -m bench.refit", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = factors(json.loads(args.file.read_text("utf-8")))
    print(json.dumps(found, indent=1))
    if args.write:
        text = TABLE.read_text("utf-8")
        table = json.loads(text)
        for name, value in found.items():
            old, new = (f'"{name}": {json.dumps(each)}' for each in (table[name], value))
            text = text.replace(old, new)
        TABLE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
