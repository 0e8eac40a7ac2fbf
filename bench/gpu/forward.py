"""Milliseconds of one forward of a 14B: diffusers' as it is, and ours step by step, with what each step changes."""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bench import full_size
from bench.gpu.clock import timed
from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement
from common.runtime.fast import attention, blocks, integers, merged
from common.runtime.model.settle import settle

CHECKPOINT = "wan2.1-t2v-14b"
SIZES = ((832, 480, 81), (1280, 720, 81))
RANK = 128
LORA = [("default", 1.0)]
PLAIN = Placement(precision={"transformer": "bfloat16"}, peak_bytes=0, weight_bytes=0)
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def measure() -> list[dict[str, Any]]:
    """A row for each way and size. Weights are random and the same in all: what is off is off from stock's output."""
    row = CHECKPOINTS[CHECKPOINT]
    backend = Backend(device="cuda", capability=torch.cuda.get_device_capability())
    kernel = attention.has_fa3(backend.capability)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as root:
        folder = full_size.folder(row, Path(root) / "w")
        transformer = full_size.module(
            folder / "transformer", ["diffusers", "WanTransformer3DModel"], "cuda"
        )
    _with_lora(transformer)
    given = {size: _inputs(row, *size) for size in SIZES}
    stock: dict[Any, Tensor] = {}
    rows: list[dict[str, Any]] = []

    def way(name: str, sizes: Any = SIZES, **also: Any) -> None:
        for size in sizes:
            said: dict[str, Any] = {"way": name, "size": [*size], **also}
            try:
                said |= _timed(transformer, given[size], stock, size)
            except Exception as error:
                said["failed"] = f"{type(error).__name__}: {error}"[:300]
            first = next((r for r in rows if r["size"] == [*size]), said)
            if "ms" in said and "ms" in first:
                said["times"] = round(first["ms"] / said["ms"], 2)
            rows.append(said)
            print(json.dumps(said), flush=True)

    way("diffusers")
    transformer.enable_adapters()
    way("diffusers, LoRA", SIZES[:1])
    transformer.disable_adapters()
    if integers.may_work(None):
        blocks.attend(transformer, attention.plain, integers.kernel(least=backend.capability or (0, 0)))
        blocks.at_step([transformer], 1, 3)
        way("attention in integers, not compiled")
    blocks.quicken(transformer, *(attention.fa3() if kernel else (attention.plain, None)))
    blocks.compiled(transformer)
    way("compiled, fa3" if kernel else "compiled")
    _forget(transformer)
    began = time.monotonic()
    placed = PLAIN.model_copy(
        update={
            "precision": {"transformer": "float8"}, "compile": "blocks",
            "attention": "fa3-8-bit" if kernel else "sdpa",
        }
    )  # fmt: skip
    settle(SimpleNamespace(transformer=transformer, transformer_2=None), placed, backend)
    rows.append({"way": "settle", "size": [], "seconds": round(time.monotonic() - began, 1)})
    way("and 8-bit products")
    rows.append({"way": "toggle", "size": [], "seconds": _toggle(transformer)})
    print(json.dumps(rows[-1]), flush=True)
    merged.put(transformer, LORA)
    way("and 8-bit products, LoRA", SIZES[:1])
    merged.put(transformer, [])
    blocks.at_step([transformer], 1, 3)
    if kernel:
        way("and 8-bit attention")
    rows.append({"way": "profile of the last, 480p", "size": [], "ms": _profile(transformer, given[SIZES[0]])})
    print(json.dumps(rows[-1], indent=1), flush=True)
    return rows


def _with_lora(transformer: Any) -> None:
    from peft import LoraConfig

    torch.manual_seed(1)
    transformer.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK // 8, target_modules=TARGETS, init_lora_weights=False)
    )
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to("cuda", torch.bfloat16)
    transformer.requires_grad_(False).disable_adapters()


def _inputs(row: Any, width: int, height: int, frames: int) -> dict[str, Any]:
    one = torch.Generator("cuda").manual_seed(2)
    side = row.architecture.spatial
    shape = (1, 16, row.law.latent(frames), height // side, width // side)
    return {
        "hidden_states": torch.randn(shape, device="cuda", dtype=torch.bfloat16, generator=one),
        "timestep": torch.tensor([500], device="cuda"),
        "encoder_hidden_states": torch.randn(1, 512, 4096, device="cuda", dtype=torch.bfloat16, generator=one),
        "return_dict": False,
    }


def _timed(transformer: Any, given: dict[str, Any], stock: dict[Any, Tensor], size: Any) -> dict[str, Any]:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    with torch.no_grad(), blocks.many_forms():
        first, made = timed(lambda: transformer(**given)[0])
        each = [timed(lambda: transformer(**given)[0])[0] for _ in range(3)]
    wanted = stock.setdefault(size, made.float())
    off = float((made.float() - wanted).norm() / wanted.norm())
    return {
        "ms": round(1000 * statistics.median(each)), "first_seconds": round(first, 1), "off": round(off, 4),
        "peak_gb": round((torch.cuda.max_memory_allocated() - held) / 1e9, 2), "held_gb": round(held / 1e9, 2),
    }  # fmt: skip


def _toggle(transformer: Any) -> list[float]:
    """Seconds in which the LoRA becomes part of the weights, and in which they are again what they were."""
    return [round(timed(partial(_put, transformer, adapters))[0], 2) for adapters in (LORA, [])]


def _put(transformer: Any, adapters: list[tuple[str, float]]) -> Tensor:
    merged.put(transformer, adapters)
    return torch.empty(0)


def _profile(transformer: Any, given: dict[str, Any]) -> dict[str, float]:
    from torch.profiler import ProfilerActivity, profile

    with torch.no_grad(), blocks.many_forms(), profile(activities=[ProfilerActivity.CUDA]) as seen:
        transformer(**given)
        torch.cuda.synchronize()
    rows = sorted(seen.key_averages(), key=lambda r: -r.device_time_total)[:24]
    return {f"{r.key[:100]} x{r.count}": round(r.device_time_total / 1e3, 1) for r in rows}


def _forget(transformer: Any) -> None:
    """Blocks that were compiled before their weights changed."""
    torch._dynamo.reset()
    for block in blocks.blocks_of(transformer):
        block._compiled_call_impl = None
    gc.collect()
