"""What of a checkpoint lies where, in which number format, so that a job fits its machine: without torch.

Tried in this order, and the first that fits is taken: as it is, a cheaper VAE decode, the text encoder away once it
has read the prompt, 8-bit weights, all blocks away but those at work. What fits in no way is refused, and nothing is
downloaded for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from common import memory
from common.catalog import (
    LORAS,
    MAX_PROMPT_TOKENS,
    TEXT_TABLE_PARAMETERS,
    Checkpoint,
    GpuSize,
    Resolution,
    Weights,
)
from common.contract import Backend, Device, Placement, Precision
from common.cost import tokens
from common.memory import Shape
from common.shortcuts import Shortcuts

Offload = Literal["none", "text_encoder", "group"]

ZEROGPU_BYTES: Final[Mapping[GpuSize, int]] = {"large": 51_000_000_000, "xlarge": 102_000_000_000}
"""GPU memory of a tier of ZeroGPU: all of its card, or half of it."""
HOST_SHARE = 0.9
"""Of the machine's own memory, for what waits there."""
NANO_BYTES = 1_000_000_000
"""More than any of Wan-Nano takes, frames included."""

MPS_ELEMENTS = 2**31
"""Attention of as many scores (batch x heads x queries x keys) comes out wrong on Apple's GPUs (ComfyUI #14837)."""

_FULL = ("vae", "image_encoder", "audio_encoder")


@dataclass(frozen=True)
class Job:
    """What has to fit beside a checkpoint and all its LoRAs: a shape, and whether media are encoded.

    `loras` are those that it uses, which may be all where nobody has said: no other is sent to a worker of ZeroGPU.
    `shortcuts` are those of its preset; `guided` says whether its steps have two forwards each.
    """

    shape: Shape
    reads_media: bool = False
    loras: tuple[str, ...] | None = None
    shortcuts: Shortcuts | None = None
    guided: bool = False


def _used(checkpoint: Checkpoint, job: Job) -> tuple[str, ...]:
    return checkpoint.loras if job.loras is None else job.loras


@dataclass(frozen=True)
class _Choice:
    fp8: bool = False
    decode: Precision = "float32"
    compile: bool = False
    attention: Literal["sdpa", "fa3-8-bit", "int8"] = "sdpa"
    shortcuts: bool = False
    halves: bool = False
    tiling: bool = False
    offload: Offload = "none"
    why: tuple[str, ...] = ()


def quick(checkpoint: Checkpoint, backend: Backend) -> bool:
    """Whether a checkpoint's blocks are compiled on a machine, and multiply in 8 bits.

    """
    return backend.compiles and _plain(checkpoint)


def _plain(checkpoint: Checkpoint) -> bool:
    """Animate's and S2V's blocks are not: what looks at a face, or listens, stands between them."""
    a = checkpoint.architecture
    return not (a.caches_video or a.face_adapters or a.audio_injectors)


def precision(part: str, device: Device) -> Precision:
    """The format of a pipeline's part, by its name in diffusers: VAE and CLIP are in full everywhere."""
    return "float32" if part in _FULL or device == "cpu" else "bfloat16"


def zerogpu(tier: GpuSize) -> Backend:
    """The machine that a tier of ZeroGPU lends."""
    return Backend(device="cuda", name=f"ZeroGPU {tier}", memory_bytes=ZEROGPU_BYTES[tier], gpu_size=tier)


def usable(backend: Backend) -> int:
    """Bytes of a device that tensors may take: the driver's own and what lies between tensors taken off."""
    have = backend.memory_bytes
    if backend.device == "cuda":
        return max(0, int(0.95 * have - 0.8e9))
    return max(0, int(0.95 * have - 2.0e9))  # shared with everything else that runs


def alone(checkpoint: Checkpoint, backend: Backend) -> str:
    """Why one card of several makes a checkpoint's clips by itself, in words; empty where all share them."""
    a = checkpoint.architecture
    if backend.cards == 1 or _plain(checkpoint):
        return ""
    if a.caches_video:
        return "it keeps the whole driving video in each of its layers"
    return f"between its blocks stands what {'looks at a face' if a.face_adapters else 'listens'}"


def place(checkpoint: Checkpoint, weights: Weights, backend: Backend, job: Job) -> Placement | None:
    """How a job is done on a machine; None where it fits in no way. A machine of unknown memory holds anything.

    What is decided when a model is loaded follows from its largest clip that fits, so that no job has it loaded anew;
    what can change from job to job follows from the job. Of several cards all share it, or else one makes it.
    """
    if backend.cards == 1:
        return _place(checkpoint, weights, backend, job)
    one = f"One card of {backend.cards} makes it: "
    if not (why := alone(checkpoint, backend)):
        if (placed := _place(checkpoint, weights, backend, job)) is not None:
            return placed.model_copy(update={"shared": _shared(placed)})
        why = "the weights do not fit all of them and the machine's own memory"
    # cache-dit asks the other cards, which are there and do not work, whether a step may be reused.
    single = backend.model_copy(update={"cards": 1, "step_cache": False})
    placed = _place(checkpoint, weights, single, job)
    return placed and placed.model_copy(update={"shared": f"{one}{why}."})


def _shared(placed: Placement) -> str:
    how = ": one half makes its forward with the prompt, the other that without" if placed.halves else ""
    return f"{placed.cards} cards share each step{how}."


def _place(checkpoint: Checkpoint, weights: Weights, backend: Backend, job: Job) -> Placement | None:
    halves = job.guided and backend.cards % 2 == 0
    if weights == "nano":
        return _placed(checkpoint, backend, job, _Choice(halves=halves), NANO_BYTES, NANO_BYTES)
    if not _runs(checkpoint, backend):
        return None
    fitting = [c for c in _choices(checkpoint, backend) if _fits(checkpoint, backend, job, c)]
    loaded = _loaded(checkpoint, backend)
    # Better loaded anew than refused; but not in a worker that is paid for.
    found = [c for c in fitting if _as_loaded(c) == loaded] or ([] if backend.gpu_size else fitting)
    if not found:
        return None
    if _takes(job.shortcuts, backend):
        shorter = [replace(c, shortcuts=True) for c in found if c.compile]
        found = [c for c in shorter if _fits(checkpoint, backend, job, c)] or found
    if halves:  # what one makes is then as large as without the others
        whole = [replace(c, halves=True) for c in found if _as_loaded(c) == _as_loaded(found[0])]
        found = [c for c in whole if _fits(checkpoint, backend, job, c)] or found
    choice = found[0]
    peak, held = _peak(checkpoint, backend, job, choice), _held(checkpoint, backend, choice)
    if backend.gpu_size:
        held = _sent(checkpoint, backend, job, choice)
    return _placed(checkpoint, backend, job, choice, peak, held)


def possible(
    checkpoint: Checkpoint, weights: Weights, backend: Backend, job: Job
) -> list[tuple[Resolution, int]]:
    """Each size that a machine can make, with its most frames up to those asked for; the largest size first."""
    law, found = checkpoint.law, list[tuple[Resolution, int]]()
    counts: Sequence[int] = range(law.least, law.below(job.shape.num_frames) + 1, law.step)
    if checkpoint.segments:  # they are all as long
        counts = [job.shape.num_frames]
    for size in _from_the_largest(checkpoint, weights):

        def too_many(frames: int, size: Resolution = size) -> bool:
            shape = replace(job.shape, width=size.width, height=size.height, num_frames=frames)
            return place(checkpoint, weights, backend, replace(job, shape=shape)) is None

        # More frames never take less.
        if fit := bisect_left(counts, True, key=too_many):
            found.append((size, counts[fit - 1]))
    return found


def shortage(checkpoint: Checkpoint, weights: Weights, backend: Backend, job: Job) -> str:
    """What a job needs at the least, what is there, and the largest that would fit, in words."""
    if not _runs(checkpoint, backend):
        return f"{checkpoint.name} runs on CUDA alone, where torch compiles its attention; {backend.name} has none"
    shape, choices = job.shape, list(_choices(checkpoint, backend))
    need, have = min(_room(checkpoint, backend, job, choice) for choice in choices), usable(backend)
    text = (
        f"{checkpoint.name} needs {need / 1e9:.1f} GB for {shape.width}x{shape.height} and {shape.num_frames} "
        f"frames, {backend.name} has {have / 1e9:.1f} GB for it"
    )
    held = [
        c
        for c in choices
        if _room(checkpoint, backend, job, c) <= have and not _waits(checkpoint, backend, c)
    ]
    if need <= have and not held:
        wait = min(
            _host(checkpoint, backend, c) for c in choices if _room(checkpoint, backend, job, c) <= have
        )
        text = (
            f"{checkpoint.name} does not fit {backend.name} at once, and {wait / 1e9:.1f} GB of it cannot wait in "
            f"the machine's own memory, which has {HOST_SHARE * backend.host_bytes / 1e9:.1f} GB for it"
        )
    found = possible(checkpoint, weights, backend, job)
    # Smaller or shorter: who asked may choose.
    longest = max(found, key=lambda option: option[1], default=None)
    ways = list(dict.fromkeys(option for option in (longest, *found[:1]) if option))
    ways = [f"{size.size} and {frames} frames" for size, frames in ways]
    return f"{text}; it can make {' or '.join(ways)}" if ways else text


def most_waiting(checkpoint: Checkpoint, backend: Backend) -> int:
    """Bytes of the machine's own memory that a checkpoint takes at the most, whatever is done to make a job fit."""
    return int(max(_host(checkpoint, backend, choice) for choice in _choices(checkpoint, backend)))


def levers(checkpoint: Checkpoint, backend: Backend) -> tuple[str, ...]:
    """All that may be done on a machine to make a job fit, in the order in which it is tried."""
    return list(_choices(checkpoint, backend))[-1].why


def _takes(shortcuts: Shortcuts | None, backend: Backend) -> bool:
    return shortcuts is not None and (backend.step_cache or not shortcuts.reuses)


def _runs(checkpoint: Checkpoint, backend: Backend) -> bool:
    """Uncompiled, flex attention makes all scores at once: hundreds of GB, which Apple's GPUs get wrong besides."""
    return backend.device == "cuda" or not checkpoint.architecture.caches_video


def _from_the_largest(checkpoint: Checkpoint, weights: Weights) -> list[Resolution]:
    return sorted(checkpoint.sizes(weights), key=lambda r: -r.width * r.height)


def _loaded(checkpoint: Checkpoint, backend: Backend) -> tuple[bool, bool, bool] | None:
    """In 8 bits or not, compiled or not, and whether blocks wait: what the largest clip that fits needs, whatever
    mode asks for it.
    """
    return _form(checkpoint, backend.model_dump_json())


@lru_cache(maxsize=1024)
def _form(checkpoint: Checkpoint, machine: str) -> tuple[bool, bool, bool] | None:
    backend = Backend.model_validate_json(machine)
    longest = checkpoint.at_once("wan")
    for frames in [longest] if checkpoint.segments else range(longest, 0, -checkpoint.law.step):
        for size in _from_the_largest(checkpoint, "wan"):
            shape = Shape(size.width, size.height, frames, checkpoint.references)
            largest = Job(shape, reads_media=True)
            for choice in _choices(checkpoint, backend):
                if _fits(checkpoint, backend, largest, choice):
                    return _as_loaded(choice)
    return None


def _as_loaded(choice: _Choice) -> tuple[bool, bool, bool]:
    return choice.fp8, choice.compile, choice.offload == "group"


def _fits(checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice) -> bool:
    on_device = not backend.memory_bytes or _room(checkpoint, backend, job, choice) <= usable(backend)
    return on_device and not _waits(checkpoint, backend, choice)


def _waits(checkpoint: Checkpoint, backend: Backend, choice: _Choice) -> bool:
    """Whether more would have to wait outside the device than the machine's own memory holds."""
    return bool(backend.host_bytes) and _host(checkpoint, backend, choice) > HOST_SHARE * backend.host_bytes


def _host(checkpoint: Checkpoint, backend: Backend, choice: _Choice) -> float:
    """Bytes that wait in the machine's own memory; transformers come there as they are, before they get 8 bits."""
    plain = _weights(checkpoint, backend, _as_it_comes(checkpoint, backend))
    # Each card has a process of its own, with all of it.
    waits = plain["transformer"] if choice.fp8 or choice.offload == "group" else 0
    waits += memory.BYTES["float32"] * memory.parameters(checkpoint.architecture)["audio_encoder"]
    if choice.compile and checkpoint.loras:  # they are part of the weights, and these as they were are kept
        waits += memory.BYTES["float8"] * memory.in_blocks(checkpoint.architecture) * checkpoint.architecture.experts
    return backend.cards * (waits + (plain["text_encoder"] if choice.offload != "none" else 0))


def _peak(checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice) -> float:
    return max(_stages(checkpoint, backend, job, choice).values())


def _room(checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice) -> float:
    """What must be free for a job: more than it holds, where the VAE works on whole frames."""
    held, stages = _held(checkpoint, backend, choice), _stages(checkpoint, backend, job, choice)
    between = 1 if choice.tiling or backend.device != "cuda" else memory.BETWEEN
    vae = [
        stages[name] + (between - 1) * max(stages[name] - held, 0)
        for name in ("encode", "decode")
        if name in stages
    ]
    return max(*stages.values(), *vae)


def _choices(checkpoint: Checkpoint, backend: Backend) -> Iterator[_Choice]:
    """What can be done on this machine, thriftier and slower from one to the next."""
    if quick(checkpoint, backend):
        # In fp16 the VAE is as far from full precision as in TF32, torch's own choice (66 dB); in bf16 it is 48.
        eight = "fa3-8-bit" if backend.attention == "fa3" else "sdpa"
        choice = _Choice(decode="float16", fp8=True, compile=True, attention=eight)
        yield choice
        yield (choice := replace(choice, tiling=True, why=("the VAE works in tiles",)))
        away = "the text encoder leaves the GPU once it has read the prompt"
        yield replace(choice, offload="text_encoder", why=(*choice.why, away))
    choice = _as_it_comes(checkpoint, backend)
    yield choice
    # The 2.1 VAE decodes in bf16 as well as in full (MS-SSIM 0.9999); the 2.2 VAE was seen to differ.
    # On Apple's GPUs nothing is known to be saved by it.
    if checkpoint.architecture.spatial == 8 and backend.device == "cuda":
        yield (choice := replace(choice, decode="bfloat16", why=("the VAE decodes in bf16",)))
    yield (choice := replace(choice, tiling=True, why=(*choice.why, "the VAE works in tiles")))
    if backend.device != "cuda":
        return  # Apple's GPU and a CPU have one memory: nothing is gained by moving, and neither knows 8 bits
    if backend.gpu_size is None:
        away = "the text encoder leaves the GPU once it has read the prompt"
        yield (choice := replace(choice, offload="text_encoder", why=(*choice.why, away)))
    knows = backend.gpu_size is not None or (backend.capability is not None and backend.capability >= (8, 9))
    if knows and not choice.fp8:
        yield (
            choice := replace(choice, fp8=True, why=(*choice.why, "the transformer's weights are in 8 bits"))
        )
    if backend.gpu_size is None:
        blocks = "all blocks but those at work wait in the machine's own memory"
        yield replace(choice, offload="group", why=(*choice.why, blocks))


def _as_it_comes(checkpoint: Checkpoint, backend: Backend) -> _Choice:
    """In bf16, or in the 8 bits of a repack: which are no choice, and nothing done to make it fit."""
    return _Choice(
        fp8=backend.device == "cuda" and checkpoint.key in backend.in_8_bits,
        attention="int8" if backend.attention == "int8" and _plain(checkpoint) else "sdpa",
    )


def _weights(checkpoint: Checkpoint, backend: Backend, choice: _Choice) -> dict[str, float]:
    """Bytes by part on the device."""
    a = checkpoint.architecture
    formats = _formats(backend, choice)
    sizes = {part: memory.BYTES[formats[part]] * n for part, n in memory.parameters(a).items()}
    if backend.device == "cuda":
        sizes["audio_encoder"] = 0  # it listens before the GPU is asked for, on the CPU
    # 8 bits are for blocks alone.
    blocks = memory.BYTES[formats["transformer"]] * memory.in_blocks(a)
    plain = memory.BYTES[precision("transformer", backend.device)]
    adapters = plain * memory.in_adapters(a)
    rest = plain * (a.parameters - memory.in_blocks(a)) - adapters
    rest += (memory.BYTES["float32"] - plain) * memory.kept_whole(a)
    sizes["transformer"] = a.experts * (blocks + adapters + rest)
    if choice.decode != "float32" and backend.device != "cpu":
        sizes["vae_decode"] = memory.BYTES[choice.decode] * memory.parameters(a)["vae"]
    if choice.offload == "group":
        # Adapters wait with the blocks, and are smaller.
        sizes["transformer"] = blocks * memory.BLOCKS_IN_FLIGHT / (a.layers + a.control_layers) + rest
        sizes["text_encoder"] *= memory.BLOCKS_IN_FLIGHT / memory.TEXT_LAYERS
    return sizes


def _held(checkpoint: Checkpoint, backend: Backend, choice: _Choice) -> float:
    """Bytes of the weights on the device, with all LoRAs: where one was, it stays attached."""
    a = checkpoint.architecture
    loras = sum(memory.lora(a, rank) for rank in _ranks(checkpoint.loras))
    if choice.offload == "group":
        loras *= memory.BLOCKS_IN_FLIGHT / (a.experts * a.layers)
    return sum(_weights(checkpoint, backend, choice).values()) + loras


def _sent(checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice) -> float:
    """Bytes that come to a new worker of ZeroGPU for a job: no LoRA that it does not use, and no table of words.

    Peaks are counted as if that lay there too: so they were measured. A copy of the VAE to decode with is made there.
    """
    packed = sum(n for part, n in _weights(checkpoint, backend, choice).items() if part != "vae_decode")
    packed -= memory.BYTES[precision("text_encoder", backend.device)] * TEXT_TABLE_PARAMETERS
    a = checkpoint.architecture
    if not a.caches_video:  # the timestep's embedding stays in fp32: too little for peaks
        packed += (memory.BYTES["float32"] - memory.BYTES["bfloat16"]) * a.experts * a.dim * (a.dim + 256)
    return packed + sum(memory.lora(checkpoint.architecture, rank) for rank in _ranks(_used(checkpoint, job)))


def _ranks(loras: Iterable[str]) -> list[int]:
    return [file.rank for key in loras for file in LORAS[key].files]


def _stages(checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice) -> dict[str, float]:
    """Bytes that the device holds in each stage of the work."""
    a, shape = checkpoint.architecture, job.shape
    first = _held(checkpoint, backend, choice)
    away = _weights(checkpoint, backend, choice)["text_encoder"] if choice.offload != "none" else 0
    later = first - away
    full = 2 if backend.device == "cpu" else 1  # activations follow the weights
    more, scores = 1, 0.0
    if backend.device == "mps":
        more, scores = memory.APPLE, memory.scores(attention_elements(checkpoint, shape))
    videos = memory.given(a, shape)
    decoded = shape
    if law := checkpoint.segments:
        decoded = replace(shape, num_frames=shape.num_frames + law.motion)
    cached = later + videos + full * memory.cache(a, shape)
    beside = bool(_used(checkpoint, job)) and not choice.compile  # compiled, they are part of the weights
    reused = choice.shortcuts and job.shortcuts is not None and job.shortcuts.reuses
    works = memory.denoise(a, shape, lora=beside, compiled=choice.compile, integers=choice.attention == "int8")
    kept = memory.reused(a, shape, branches=1 if choice.halves else 2) if reused else 0

    def among(cards: int) -> float:
        given = memory.exchanged(a, shape) if cards > 1 else 0
        return (kept + more * full * (works + given)) / cards

    stages = {
        "text": first + memory.TEXT_BYTES,
        # In halves too, all of them share the steps without guidance.
        "denoise": cached + max(among(n) for n in ([backend.cards // 2] * choice.halves + [backend.cards])) + scores,
        "decode": cached + more * memory.decode(a, decoded, choice.decode, tiled=choice.tiling),
    }
    if job.reads_media:
        stages["encode"] = later + videos + more * memory.encode(a, shape, tiled=choice.tiling)
    return stages


def _formats(backend: Backend, choice: _Choice) -> dict[str, Precision]:
    parts = ("transformer", "text_encoder", "vae", "image_encoder", "audio_encoder")
    formats: dict[str, Precision] = {part: precision(part, backend.device) for part in parts}
    if choice.fp8:
        formats["transformer"] = "float8"
    return {**formats, "vae_decode": choice.decode}


def _placed(
    checkpoint: Checkpoint, backend: Backend, job: Job, choice: _Choice, peak: float, held: float
) -> Placement:
    chunked = backend.device == "mps" and attention_elements(checkpoint, job.shape) > memory.SCORES
    return Placement(
        precision=_formats(backend, choice),
        attention="chunked" if chunked else choice.attention,
        compile="blocks" if choice.compile else "none",
        shortcuts=choice.shortcuts,
        cards=backend.cards,
        halves=choice.halves,
        tiling=choice.tiling,
        offload=choice.offload,
        peak_bytes=int(peak),
        weight_bytes=int(held),
        host_bytes=int(_host(checkpoint, backend, choice)),
        why=[*choice.why],
    )


def attention_elements(checkpoint: Checkpoint, shape: Shape) -> int:
    """Scores (heads x queries x keys) of the largest attention of a job, whose batch is 1 everywhere.

    That is the transformer's own, or with the prompt's 512 tokens, or that of the VAE's middle block, which has one
    head and sees one latent frame; UMT5 (64 heads of 512) and CLIP (16 of 257) are never it.
    """
    a = checkpoint.architecture
    heads = a.dim // 128
    video = tokens(a, shape.width, shape.height, shape.num_frames, shape.references)
    return max(heads * video * max(video, MAX_PROMPT_TOKENS), (shape.pixels // a.spatial**2) ** 2)
