"""Every kind of pipeline as a Mac's plan has it run, here on the CPU: without what a Mac lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.contract import Backend
from common.errors import GpuError
from common.runtime.device import backend as machine
from common.runtime.job import Job
from common.runtime.model import load
from common.runtime.sample import generate, stages
from common.runtime.sample.attention import InPieces

MAC = Backend(device="mps", name="a Mac", memory_bytes=107_000_000_000)
LACKING = (torch.float64, torch.complex128)
EXAMPLES = "common/examples"
PICTURE = {"path": f"{EXAMPLES}/red-circle-start.png"}
CLIP = {"path": f"{EXAMPLES}/red-circle.mp4"}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("t2v", {"checkpoint": "wan2.1-t2v-14b"}),
    "dense-lightning": ("t2v", {"checkpoint": "wan2.1-t2v-14b", "preset": "fast"}),
    "dmd": ("t2v", {"checkpoint": "fastwan2.1-t2v-1.3b", "preset": "fast"}),
    "moe": ("t2v", {"checkpoint": "wan2.2-t2v-a14b"}),
    "ti2v": ("t2v", {"checkpoint": "wan2.2-ti2v-5b"}),
    "i2v-clip": ("i2v", {"checkpoint": "wan2.1-i2v-14b-480p", "image": PICTURE}),
    "flf2v": ("flf2v", {"image": PICTURE, "last_image": {"path": f"{EXAMPLES}/red-circle-end.png"}}),
    "vace": ("vace", {"submode": "gray", "video": CLIP, "reference_images": [PICTURE]}),
    "v2v": ("v2v", {"video": CLIP}),
    "animate": ("animate", {"image": PICTURE, "video": CLIP, "animate_mode": "replace"}),
}


class _Dispatched(TorchDispatchMode):
    """Fails on a tensor that a Mac cannot hold, and on one of a card that it does not have.

    numpy's own (`lift_fresh`) are on the CPU as long as nobody sends them on.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, torch.Tensor):
                held = x.dtype in LACKING and func is not torch.ops.aten.lift_fresh.default
                assert not held, f"{func} makes {x.dtype}"
                assert x.device.type != "cuda"
        return made


class _Called(TorchFunctionMode):
    """Fails on a tensor that is sent to a device as it is. What is cast on its way is cast before it goes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.Tensor.to, torch.Tensor.type_as, torch.tensor, torch.asarray, torch.as_tensor):
            assert made.dtype not in LACKING, f"{func} leaves {made.dtype}"
        return made


@contextmanager
def as_on_a_mac() -> Iterator[None]:
    def cuda(*_: Any, **__: Any) -> None:
        raise AssertionError("CUDA was called")

    with pytest.MonkeyPatch.context() as patch, _Called(), _Dispatched():
        for name in ("_lazy_init", "empty_cache", "synchronize", "mem_get_info"):
            patch.setattr(torch.cuda, name, cuda)
        yield


@pytest.fixture
def on_a_mac(service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`on_a_mac(mode, **values)`: loads and makes, in this thread; the pipeline and the modes' frames."""
    monkeypatch.setattr(load, "dtype_of", lambda part, device: machine.dtype_of(part, "mps"))
    pieces = InPieces(limit=5000, piece=5000)
    monkeypatch.setattr(stages, "InPieces", lambda: pieces)
    used: list[Any] = []

    def go(mode: str, *, apple: bool = True, **values: Any) -> Any:
        engine = service(mode)
        # diffusers asks it for the format of its rotary embedding.
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        used.append(engine)
        engine.seat.residency.unload()
        request = engine.mode.parse(
            {"prompt": "a red circle moving right", "seed": 3, "num_frames": 5, "num_inference_steps": 2,
             "preset": "quality"} | values
        )  # fmt: skip

        def planned(request: Any) -> Any:
            plan = engine.mode.plan(request, MAC, weights="nano", allowed=engine.allowed)
            placed = plan.placement.model_copy(update={"attention": "chunked"})
            return plan.model_copy(update={"placement": placed})

        monkeypatch.setattr(engine, "plan", planned)  # asked again once the media are measured
        ready = engine.preflight(request, planned(request), Job())
        with as_on_a_mac():
            made = engine._work(ready, Job())
        assert pieces.calls, "attention went whole"
        return engine._pipe(ready.plan.checkpoint, ready.plan.placement, print), made

    yield go
    torch.set_default_dtype(torch.float32)  # diffusers leaves the model's own where a constructor failed
    for engine in used:
        engine.seat.residency.unload()


QUICK = ("moe", "i2v-clip", "vace")
"""Between them they meet all that the others do, but for their samplers."""


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES]
)
def test_mps_path_makes_no_float64_and_calls_no_cuda(case: str, on_a_mac: Callable[..., Any]) -> None:
    mode, values = CASES[case]
    pipe, made = on_a_mac(mode, **values)
    assert made is None or made.path.stat().st_size > 0, "a segment is kept beside"
    assert pipe.transformer.dtype == pipe.text_encoder.dtype == torch.bfloat16
    assert pipe.vae.dtype == torch.float32
    assert pipe.transformer.rope.freqs_cos.dtype == torch.float32


SEEN: dict[str, Callable[[], Any]] = {
    "made": lambda: torch.arange(3, dtype=torch.float64),
    "cast": lambda: torch.ones(3).double(),
    "complex": lambda: torch.view_as_complex(torch.ones(3, 2, dtype=torch.float64)),
    "numpy-sent": lambda: torch.from_numpy(np.linspace(0, 1, 3)).to("cpu"),
    "numpy-copied": lambda: torch.tensor(np.linspace(0, 1, 3)),
    "cuda": lambda: torch.cuda.empty_cache(),
}


@pytest.mark.parametrize("what", SEEN)
def test_mps_path_check_sees_what_a_mac_lacks(what: str) -> None:
    with pytest.raises(AssertionError), as_on_a_mac():
        SEEN[what]()


def test_mps_path_check_lets_pass_what_never_leaves_the_cpu() -> None:
    with as_on_a_mac():
        made = torch.from_numpy(np.linspace(0, 1, 3)).to("cpu", dtype=torch.int64)
    assert made.dtype == torch.int64


def test_mps_path_check_sees_the_rotary_embedding_of_other_machines(on_a_mac: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="float64"):
        on_a_mac("t2v", apple=False, checkpoint="wan2.1-t2v-14b")


def test_mps_path_gives_memory_back_before_the_frames_are_decoded(
    on_a_mac: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    told = generate.Watch.__call__

    def step(self: Any, pipe: Any, *rest: Any) -> Any:
        order.append("step")
        decode = pipe.vae.decode
        monkeypatch.setattr(pipe.vae, "decode", lambda *a, **k: (order.append("decode"), decode(*a, **k))[1])
        return told(self, pipe, *rest)

    monkeypatch.setattr(generate.Watch, "__call__", step)
    monkeypatch.setattr(generate, "free_memory", lambda device: order.append("freed"))
    on_a_mac("t2v", checkpoint="wan2.1-t2v-14b", num_inference_steps=1)
    assert order == ["step", "freed", "decode"]


def test_mps_path_says_what_to_do_where_there_is_no_room(
    on_a_mac: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[str] = []

    def full(*_: Any) -> None:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 99 GiB, max allowed: 99 GiB)")

    monkeypatch.setattr(generate, "_make", full)
    monkeypatch.setattr(generate, "free_memory", freed.append)
    with pytest.raises(GpuError, match="Out of GPU memory at 128x128, 5 frames; try fewer frames"):
        on_a_mac("t2v", checkpoint="wan2.1-t2v-14b")
    assert freed == ["cpu"]
