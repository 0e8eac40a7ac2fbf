"""Whether a Mac makes Wan's videos right, how fast, and in how much memory: `python -m bench.mps_check`.

For its owner to run once (some minutes; nothing is downloaded). Prints what it finds and one verdict, and writes all
of it to a JSON file beside the other results: what is said of Macs in `common/memory.py` and docs/machines.md is
unverified until such a file is there.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from bench.engine import T2V
from common import memory
from common.catalog import CHECKPOINTS
from common.contract import Device
from common.errors import GpuError
from common.memory import SCORES, Shape
from common.placement import MPS_ELEMENTS
from common.run.service import Ready
from common.runtime.device import backend as machine
from common.runtime.engine import versions
from common.runtime.job import Job
from common.runtime.sample import selfcheck
from common.runtime.sample.attention import InPieces, attend
from common.settings import SpaceSettings

RESULTS = Path(__file__).parent / "results"
DENSE = CHECKPOINTS["wan2.1-t2v-14b"].architecture
NO_NUMBER = 99.0
"""An error, relative, that stands for one that cannot be told."""
ALIKE = 25
"""PSNR in dB under which two clips are not the same; bf16 and float32 are some 35 dB apart."""


@dataclass(frozen=True)
class Size:
    """How large everything is: a Mac's, or what a CPU does in seconds."""

    whole: int
    beyond: int
    tokens: tuple[int, ...]
    clip: Shape
    heads: int
    vae_dim: int
    decoded: Shape


FULL = Size(
    SCORES, MPS_ELEMENTS, (4096, 8192, 12_288, 14_336, 16_385, 20_480, 24_576, 32_760),
    Shape(832, 480, 81), DENSE.dim // 128, 96, Shape(832, 480, 17),
)  # fmt: skip
SMALL = Size(2**16, 2**18, (64, 200), Shape(128, 128, 5), 2, 8, Shape(64, 64, 5))


class Watch:
    """The most that a device has held since it was made, where that can be asked; seconds that something took."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.start = self._held()
        self.most = self.start

    def _held(self) -> int:
        return torch.mps.driver_allocated_memory() if self.device == "mps" else 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Every hundredth of a second: Apple's torch keeps no peak."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.01):
                self.most = max(self.most, self._held())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.most = max(self.most, self._held())

    def added(self) -> int | None:
        """Bytes over what was there at the start."""
        return self.most - self.start if self.device == "mps" else None


def done(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until a device has really done its work, and what it made."""
    begin = time.monotonic()
    made = work()
    if device == "mps":
        torch.mps.synchronize()
    return time.monotonic() - begin, made


def attention(device: str, size: Size, room: int) -> list[dict[str, Any]]:
    """In pieces and torch's own, at growing lengths, against the CPU's float32: 8 heads, 16 rows of each."""
    found: list[dict[str, Any]] = []
    for tokens in size.tokens:
        q, k, v = (
            torch.randn(1, 8, tokens, 128, generator=torch.manual_seed(i)).bfloat16() for i in range(3)
        )
        q = 2 * q
        rows = torch.linspace(0, tokens - 1, 16).long()
        exact = scaled_dot_product_attention(q[:, :, rows].float(), k.float(), v.float())
        there: Any = [x.to(device) for x in (q, k, v)]

        def compared(
            work: Callable[[], torch.Tensor], rows: Any = rows, exact: Any = exact
        ) -> dict[str, float]:
            seconds, made = done(device, work)
            error = ((made.cpu()[:, :, rows].float() - exact).norm() / exact.norm()).item()
            return {
                "error": round(error, 5) if math.isfinite(error) else NO_NUMBER,
                "seconds": round(seconds, 3),
            }

        row: dict[str, Any] = {"tokens": tokens, "scores": 8 * tokens**2}
        row["pieces"] = compared(lambda there=there: attend(*there, piece=size.whole))
        row["own"] = None  # not tried where it may hold all scores, and take the machine down
        if memory.SCORE_BYTES * row["scores"] < room / 2:
            try:
                row["own"] = compared(lambda there=there: scaled_dot_product_attention(*there))
            except RuntimeError as error:
                row["own"] = {"failed": str(error)[:200]}
        found.append(row)
        own = row["own"] and (row["own"].get("error", row["own"].get("failed")))
        print(f"  {tokens:6} tokens: in pieces {row['pieces']['error']:.2%} off, torch's own "
              f"{f'{own:.2%} off' if isinstance(own, float) else own or 'not tried'}", flush=True)  # fmt: skip
    return found


def block(device: str, size: Size) -> dict[str, Any]:
    """A forward through one block as wide as a 14B's: seconds, and memory against what the plan counts."""
    from diffusers import WanTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]

    with torch.device(device):
        made = WanTransformer3DModel(
            num_attention_heads=size.heads, attention_head_dim=128, ffn_dim=size.heads * DENSE.ffn // 40,
            num_layers=1, text_dim=4096, freq_dim=256,
        )  # fmt: skip
    made = selfcheck.as_loaded(made.eval(), torch.bfloat16)
    machine.free_memory(cast(Device, device))
    clip = size.clip
    latents = torch.randn(1, 16, (clip.num_frames - 1) // 4 + 1, clip.height // 8, clip.width // 8)
    asked = {
        "hidden_states": latents.to(device, torch.bfloat16), "timestep": torch.tensor([500]).to(device),
        "encoder_hidden_states": torch.randn(1, 512, 4096).to(device, torch.bfloat16), "return_dict": False,
    }  # fmt: skip
    watch = Watch(device)
    with torch.no_grad(), InPieces(size.whole, size.whole), watch.looking():
        first, _ = done(device, lambda: made(**asked))
        seconds, _ = done(device, lambda: made(**asked))
    counted = memory.denoise(DENSE, clip) * size.heads / 40
    found = {"shape": asdict(clip), "first_seconds": first, "seconds": seconds, "bytes": watch.added(),
             "counted_bytes": memory.APPLE * counted + memory.SCORE_BYTES * size.whole}  # fmt: skip
    print(f"  one block of {size.heads} heads, {clip.width}x{clip.height}, {clip.num_frames} frames: "
          f"{seconds:.2f} s, {_gb(found['bytes'])} (counted: {_gb(found['counted_bytes'])})", flush=True)  # fmt: skip
    return found


def decode(device: str, size: Size, room: int) -> dict[str, Any] | None:
    """A decode by a VAE as wide as 2.1's: seconds, and memory against what the plan counts."""
    from diffusers import AutoencoderKLWan  # pyright: ignore[reportPrivateImportUsage]

    clip = size.decoded
    counted = memory.APPLE * memory.decode(DENSE, clip, "float32", tiled=False) * size.vae_dim / 96
    if room and counted > 0.8 * room:
        print(f"  a decode is left out: it may take {_gb(counted)}", flush=True)
        return None
    vae: Any = AutoencoderKLWan(base_dim=size.vae_dim).eval()
    vae.to(device)
    latents = torch.randn(1, 16, (clip.num_frames - 1) // 4 + 1, clip.height // 8, clip.width // 8).to(device)
    machine.free_memory(cast(Device, device))
    watch = Watch(device)
    with torch.no_grad(), InPieces(size.whole, size.whole), watch.looking():
        seconds, _ = done(device, lambda: vae.decode(latents, return_dict=False))
    found = {"shape": asdict(clip), "seconds": seconds, "bytes": watch.added(), "counted_bytes": counted}
    print(f"  the VAE decodes {clip.width}x{clip.height}, {clip.num_frames} frames: {seconds:.2f} s, "
          f"{_gb(found['bytes'])} (counted: {_gb(counted)})", flush=True)  # fmt: skip
    return found


def clip(device: str) -> dict[str, Any]:
    """Wan-Nano's clip on the device and on the CPU: how alike they are, in dB."""
    made: dict[str, Any] = {}
    for settings in (SpaceSettings(device="cpu" if device == "cpu" else ""), SpaceSettings(device="cpu")):
        engine = T2V(settings)
        values = {"prompt": "a red circle moving right on a black background", "seed": 5, "num_inference_steps": 6,
                  "checkpoint": "wan2.1-t2v-14b", "preset": "quality", "num_frames": 9}  # fmt: skip
        request = engine.mode.parse(values)
        plan = engine.plan(request)
        assert plan.placement is not None  # Wan-Nano fits everywhere
        pipe = engine._pipe(plan.checkpoint, plan.placement, print)
        begin = time.monotonic()
        frames = np.stack([*engine.make(pipe, Ready(request, plan, {}), plan.num_inference_steps, Job())])
        made[engine.backend.device] = (time.monotonic() - begin, frames.astype(float))
    (seconds, here), (on_cpu, there) = made[device], made["cpu"]
    error = float(((here - there) ** 2).mean())
    psnr = 99.0 if error == 0 else min(99.0, 10 * math.log10(255**2 / error))
    print(
        f"  a clip of Wan-Nano: {psnr:.1f} dB from the CPU's, {seconds:.1f} s ({on_cpu:.1f} s there)",
        flush=True,
    )
    return {"psnr": psnr, "seconds": seconds, "cpu_seconds": on_cpu}


def check(device: str, size: Size) -> dict[str, Any]:
    """Everything, with its verdict: `right`, and `verdict` in words."""
    backend = machine.detect(SpaceSettings(device="cpu" if device == "cpu" else ""), "wan2.1-t2v-14b")
    if backend.device != device:
        sys.exit(
            f"This machine has no {device}; it is for a Mac with Apple silicon (--device cpu tries the program)"
        )
    found: dict[str, Any] = {
        "device": device, "machine": _chip(), "memory_bytes": backend.memory_bytes, "system": selfcheck.system(),
        "versions": versions(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "size": asdict(size),
    }  # fmt: skip
    print(f"{found['machine']}, {_gb(backend.memory_bytes)} to use, {found['system']}, "
          f"torch {torch.__version__}, diffusers {found['versions'].get('diffusers')}", flush=True)  # fmt: skip
    wrong: list[str] = []
    try:
        verdict = selfcheck.examine(device, whole=size.whole, beyond=size.beyond)
        found["selfcheck"] = {"limit": verdict.limit, **{f.part: f.error for f in verdict.findings}}
        for finding in verdict.findings:
            print(f"  {finding.part}: {finding.error:.2%} off", flush=True)
        if verdict.limit < size.whole:
            print(
                "  torch's own attention is wrong at lengths where it was to be used: it is computed in pieces"
            )
    except GpuError as error:
        found["selfcheck"] = {"refused": error.text}
        wrong.append(error.text)
    found["attention"] = attention(device, size, backend.memory_bytes)
    wrong += [f"attention in pieces is {row['pieces']['error']:.0%} off at {row['tokens']} tokens"
              for row in found["attention"] if row["pieces"]["error"] > selfcheck.ALLOWED]  # fmt: skip
    for name, part in {
        "block": lambda: block(device, size),
        "decode": lambda: decode(device, size, backend.memory_bytes),
        "clip": lambda: clip(device),
    }.items():
        try:
            found[name] = part()
        except (RuntimeError, GpuError) as error:
            found[name] = {"failed": str(error)[:300]}
            wrong.append(f"{name}: {str(error)[:300]}")
    if found["clip"].get("psnr", ALIKE) < ALIKE:
        wrong.append(f"Wan-Nano's clip is not the CPU's ({found['clip']['psnr']:.0f} dB)")
    wrong += _more_than_counted(found)
    found["right"], found["verdict"] = not wrong, _verdict(found, wrong)
    return found


def _more_than_counted(found: dict[str, Any]) -> list[str]:
    rows = {name: found[name] or {} for name in ("block", "decode")}
    return [f"the {name} takes {_gb(row['bytes'])}, and the plan counts {_gb(row['counted_bytes'])}"
            for name, row in rows.items() if (row.get("bytes") or 0) > row.get("counted_bytes", 0)]  # fmt: skip


def _verdict(found: dict[str, Any], wrong: list[str]) -> str:
    bad = [row for row in found["attention"] if (row["own"] or {}).get("error", 0) > selfcheck.ALLOWED]
    own = "torch's own attention was right as far as tried"
    if bad:
        own = f"torch's own attention is wrong from {bad[0]['tokens']} tokens of 8 heads on"
    if wrong:
        return "NOT RIGHT: " + "; ".join(wrong) + f" ({own})"
    return f"RIGHT: this machine makes what a CPU makes, in the memory that the plan counts ({own})"


def _gb(size: float | None) -> str:
    return "memory unknown" if not size else f"{size / 1e9:.1f} GB"


def _chip() -> str:
    with suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return platform.processor() or platform.machine()


def main(argv: list[str] | None = None) -> int:
    """Check, print, write; 0 where all is right."""
    parser = argparse.ArgumentParser(prog="python -m bench.mps_check", description=__doc__)
    parser.add_argument(
        "--device", choices=("mps", "cpu"), default="mps", help="cpu tries the program alone, small"
    )
    parser.add_argument("--out", type=Path, help="the JSON file (bench/results/mps-<date>.json)")
    args = parser.parse_args(argv)
    found = check(args.device, SMALL if args.device == "cpu" else FULL)
    out = args.out or RESULTS / f"{args.device}-{found['date'][:10]}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['verdict']}\nWritten to {out}; please send it along with what you report.")
    return 0 if found["right"] else 1


if __name__ == "__main__":
    sys.exit(main())
