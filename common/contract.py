"""What the parts say to each other: handles, requests, plans, events and manifests.

No torch and no Gradio here: a program that only talks to a Space can import this file alone. A request with unknown
fields is refused, so that two versions that do not fit fail by name and not by a wrong picture; what a newer Space
says beyond this in its answers is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import guess_type
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from common.budgets import BUDGETS
from common.catalog import Checkpoint, GpuSize, PresetName, Weights
from common.errors import StudioError, received

CONTRACT_VERSION = 2
MAX_SEED = 2**31 - 1
MAX_INTEGER = 2**63 - 1
PREVIEW_BYTES = 20 * 1024

ModeKey = Literal["t2v", "i2v", "flf2v", "v2v", "vace", "s2v", "animate"]
Device = Literal["cuda", "mps", "cpu"]
Precision = Literal["float32", "float16", "bfloat16", "float8"]
"""Number formats of weights; `float8` is torchao's, of the blocks' linear layers."""
ImageFrom = Literal["first", "last"] | Annotated[float, Field(ge=0, le=86_400)]
"""Which frame of a clip fills an image slot: its first, its last, or the one at so many seconds."""


Name = Annotated[str, Field(max_length=4096), AfterValidator(lambda value: _as_text(value))]
Word = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Model(BaseModel):
    """A value of the contract. What is received may have more fields than we know."""

    model_config = ConfigDict(extra="ignore")


class Given(Model):
    """What a caller says. All fields of all subclasses are held against this, whatever a mode adds."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_sent(cls, value: object, info: ValidationInfo) -> object:
        # pydantic reads True as 1, and strings may hold what no file, model or answer can.
        truth = cls.model_fields[str(info.field_name)].annotation in (bool, bool | None)
        items = _each(value)
        if len(items) > (most := BUDGETS.list_items):
            raise PydanticCustomError("too_long", "a list must have at most {most} items", {"most": most})
        for item in items:
            if isinstance(item, bool) and not truth:
                raise PydanticCustomError("no_truth", "a number or text is wanted here, not true or false")
            if isinstance(item, str):
                _as_text(item)
                if len(item) > (most := BUDGETS.text_characters):
                    raise PydanticCustomError(
                        "too_long", "text must be at most {most} characters", {"most": most}
                    )
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _as_json(cls, value: object) -> object:
        if any(isinstance(item, int) and abs(item) > MAX_INTEGER for item in _each(value)):
            raise PydanticCustomError("too_large", "a number must fit into 64 bits")
        return value


class MediaHandle(Given):
    """A picture, clip or sound by reference; it never holds bytes.

    `path` is a file on the serving machine or a URL; `frames`, `fps` and `seconds` are set for clips, `seconds` for
    sounds too. `has_audio` is None while nobody has looked.
    """

    path: Annotated[Name, Field(min_length=1)]
    url: Name | None = None
    orig_name: Name | None = None
    mime: Name = ""
    sha256: Name | None = None
    width: Count | None = None
    height: Count | None = None
    fps: Annotated[float, Field(ge=0.001, le=1e6, allow_inf_nan=False)] | None = None
    frames: Count | None = None
    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    has_audio: bool | None = None
    meta: dict[Name, Name] = Field(default_factory=lambda: {"_type": "gradio.FileData"}, max_length=8)

    @property
    def media_type(self) -> str:
        """The mime type, else what the name suggests; empty where neither says."""
        return self.mime or guess_type(self.orig_name or self.path, strict=False)[0] or ""


class Request(Given):
    """What a user asks of any mode; a mode adds its own fields. Names are those of diffusers.

    None means "the checkpoint's own default". Sizes are pixels, `seed` -1 is random.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    prompt: str = Field(description="What should be seen")
    negative_prompt: str | None = Field(None, description="What should not be seen (the model's own)")
    checkpoint: str | None = Field(None, description="Checkpoint key; the mode's default when empty")
    preset: Word = Field("fast", description="`fast` or `quality`")
    width: int | None = Field(None, description="Pixels, a multiple of 16 (TI2V-5B: 32)")
    height: int | None = Field(None, description="Pixels, a multiple of 16 (TI2V-5B: 32)")
    num_frames: int | None = Field(None, description="Frames, 4k+1; 1 gives a still")
    num_inference_steps: int | None = Field(None, description="Denoising steps, 1 to 50")
    guidance_scale: float | None = Field(None, description="Classifier-free guidance (high-noise expert)")
    guidance_scale_2: float | None = Field(None, description="Guidance of the low-noise expert (MoE only)")
    flow_shift: float | None = Field(None, description="Shift of the noise schedule")
    seed: int = Field(-1, description="-1 for a random one")


def _each(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _as_text(value: str) -> str:
    """Refuses characters that are none: a NUL ends names and tags early, half a pair has no UTF-8."""
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise PydanticCustomError("no_text", "text must not hold NUL or half a character (a lone surrogate)")
    return value


class Backend(Model):
    """The machine behind a Space. `gpu_size` is set on ZeroGPU alone; `memory_bytes` is for models.

    `host_bytes` is the machine's own memory, where it is another than the device's and is known.
    """

    device: Device = "cpu"
    name: str = "CPU"
    memory_bytes: Annotated[int, Field(ge=0)] = 0
    host_bytes: Annotated[int, Field(ge=0)] = 0
    gpu_size: GpuSize | None = None
    capability: tuple[int, int] | None = None
    """CUDA's compute capability, such as (9, 0); None where it is not known."""
    compiles: bool = False
    """Whether blocks are compiled here, and multiply in 8 bits."""
    attention: Literal["sdpa", "fa3", "int8"] = "sdpa"
    """The best kernel of attention that is installed here; a worker of ZeroGPU sees whether its card knows `int8`."""
    step_cache: bool = False
    """Whether steps may take again what a step before has made: where blocks are compiled, and cache-dit is there."""
    cards: int = 1
    """Cards that one job has here, each with as much memory; on a CPU processes."""
    loras: bool = True
    """Whether LoRAs can be put on a model there: a server of others takes none of ours."""
    in_8_bits: list[str] = Field(default_factory=lambda: list[str]())
    """Checkpoints whose weights are mounted here in 8 bits: no plan has them otherwise."""


class Placement(Model):
    """What lies in memory in which number format, and what is done to make it fit: decided before anything is loaded.

    `precision` is by part of the pipeline, as diffusers names them, with `vae_decode` for what the VAE decodes in (it
    encodes in full). `attention` is how a video attends to itself: `fa3-8-bit` and `int8` round in all steps but the
    first and the last. With `compile` the transformer's blocks are compiled, and 8-bit weights meet 8-bit
    activations; with `shortcuts` the preset's own are taken (see common/shortcuts.py).
    `offload` is what goes to the machine's own memory: the text encoder once it has read the prompt, or all blocks
    but those at work. So many `cards` share the denoising, and each has all weights; with `halves` each half of them
    makes one of the two forwards of a step with guidance. `shared` says that in words, or why one of several works
    alone. `peak_bytes` is what a device holds at its most, `weight_bytes` what of it are
    weights (on ZeroGPU what a new worker is sent for this job), `host_bytes` what the machine's own memory holds for
    all of them; `why` says what was done to make it fit, and what for.
    """

    precision: dict[str, Precision]
    attention: Literal["sdpa", "chunked", "fa3-8-bit", "int8"] = "sdpa"
    tiling: bool = False
    offload: Literal["none", "text_encoder", "group"] = "none"
    compile: Literal["none", "blocks"] = "none"
    shortcuts: bool = False
    cards: Annotated[int, Field(ge=1)] = 1
    halves: bool = False
    shared: str = ""
    peak_bytes: int
    weight_bytes: int
    host_bytes: int = 0
    why: list[str] = Field(default_factory=lambda: list[str]())


class Segment(Model):
    """A part of a video that is sampled by itself."""

    frames: int
    steps: int
    expected_seconds: float


class Continued(Model):
    """The clip that a video begins with and goes on from: what fills `slot`.

    `frames` are those of it at the video's rate, 0 while nobody has counted them; of the last `overlap` the model is
    shown, and makes them again. `has_audio` says whether its sound is kept.
    """

    slot: str
    frames: Annotated[int, Field(ge=0)] = 0
    overlap: Annotated[int, Field(ge=1)] = 1
    has_audio: bool = False

    @property
    def before(self) -> int:
        """Its frames before those that the model makes."""
        return max(self.frames - self.overlap, 0)


class Plan(Model):
    """What will be done, to the last number. Everyone reads this one: label, reservation, pipeline, notices.

    `segments` are sampled one after the other (one, for most modes); `values` is what belongs to the mode alone,
    such as VACE's `conditioning_scale`. `seed` was drawn by whoever planned first. `gpu_duration` is the time that
    ZeroGPU is asked for, in seconds, once for each segment, and `gpu_seconds` what all of that takes of a visitor's
    day; `expected_seconds` is how long this backend should take, `clip_seconds` the length of the clip.
    `loras` are (key, weight) pairs. `placement` is None where the job does not fit the machine. `num_frames` are
    those that the model makes; a clip that the video `continues` comes before them.
    """

    mode: ModeKey
    checkpoint: str
    weights: Weights
    preset: PresetName
    requested_preset: PresetName
    width: int
    height: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    guidance_scale_2: float | None = None
    flow_shift: float
    strength: float | None = None
    values: dict[str, Any] = Field(default_factory=lambda: dict[str, Any]())
    segments: list[Segment] = Field(default_factory=lambda: list[Segment]())
    seed: int
    negative_prompt: str
    loras: list[tuple[str, float]] = Field(default_factory=lambda: list[tuple[str, float]]())
    placement: Placement | None = None
    gpu_duration: int = 0
    gpu_seconds: int
    gpu_size: GpuSize | None = None
    expected_seconds: float
    clip_seconds: float
    continues: Continued | None = None
    notices: list[str] = Field(default_factory=lambda: list[str]())

    @property
    def whole_frames(self) -> int:
        """Frames of the finished video."""
        return self.num_frames + (self.continues.before if self.continues else 0)


class Prepared(Model):
    """What `/prepare` made of a request, as the model will be given it, for looking at first: a mode says what."""


class Control(Prepared):
    """VACE's."""

    video: MediaHandle
    mask: MediaHandle
    reference_images: list[MediaHandle] = Field(default_factory=lambda: list[MediaHandle]())
    notices: list[str] = Field(default_factory=lambda: list[str]())


class Performance(Prepared):
    """Animate's: what was read of the driving video. Background and mask are there where somebody is replaced."""

    pose_video: MediaHandle
    face_video: MediaHandle
    background_video: MediaHandle | None = None
    mask_video: MediaHandle | None = None
    notices: list[str] = Field(default_factory=lambda: list[str]())


class Parent(Model):
    """A file that an output was made from, and the slot that it filled.

    `mime` is what the file was taken for. `lineage` is the file's own, where it has one and there is room: without
    what no frame follows from, and only once in an output's whole ancestry (see common/media/lineage.py).
    """

    sha256: str
    mode: str | None = None
    role: str
    mime: str = ""
    lineage: Lineage | None = None


class Lineage(Model):
    """Where an output came from; stands as compact JSON in the comment tag of every mp4.

    `revision` is that of the weights that made it, as in `CheckpointInfo`.
    """

    wan_studio: Literal[1] = 1
    request: dict[str, Any]
    plan: Plan
    seed: int
    versions: Mapping[str, str]
    git_sha: str
    revision: str = ""
    created: str
    parents: list[Parent] = Field(default_factory=lambda: list[Parent]())


class _Event(Model):
    v: Literal[2] = 2
    job: str = Field(default="", description="Whose event it is; set by whoever runs the job")
    t: float = Field(default=0.0, description="Seconds since the start of the job")

    def later(self, seconds: float) -> Self:
        """The same event by a clock that was started `seconds` earlier."""
        return self.model_copy(update={"t": round(self.t + seconds, 3)})

    def of(self, job: str) -> Self:
        """The same event as one of this job's."""
        return self.model_copy(update={"job": job})


class Queued(_Event):
    """The job waits for its turn."""

    type: Literal["queued"] = "queued"
    position: int | None = None


class Stage(_Event):
    """A named part of the work begins, or goes on: prepare, load, encode, denoise, decode, save.

    `done` of `total`, where it can be counted.
    """

    type: Literal["stage"] = "stage"
    name: str
    text: str
    done: int | None = None
    total: int | None = None


class Step(_Event):
    """A denoising step ended. `index` counts from 1 over all segments; `eta_seconds` is what is left."""

    type: Literal["step"] = "step"
    index: int
    total: int
    eta_seconds: float | None = None
    segment: int | None = None
    segments: int | None = None


class Preview(_Event):
    """What the model believes so far: an animated WEBP of at most 20 KB, base64."""

    type: Literal["preview"] = "preview"
    webp_base64: str


class Notice(_Event):
    """Something was changed or should be known; not an error."""

    type: Literal["notice"] = "notice"
    text: str


class Heartbeat(_Event):
    """Nothing has changed, and the job is alive: what was said last still holds."""

    type: Literal["heartbeat"] = "heartbeat"


class Done(_Event):
    """The video is there."""

    type: Literal["done"] = "done"
    plan: Plan
    seed: int
    seconds: float
    lineage: Lineage
    sha256: str

    def known(self, video: MediaHandle) -> MediaHandle:
        """The handle of the video with all that its job knows of it."""
        plan = self.plan
        facts = {"width": plan.width, "height": plan.height, "frames": plan.whole_frames, "fps": plan.fps}
        facts |= {"seconds": plan.clip_seconds, "sha256": self.sha256, "mime": "video/mp4"}
        kept = plan.continues is not None and plan.continues.has_audio
        facts["has_audio"] = kept or any(parent.role == "audio" for parent in self.lineage.parents)
        return video.model_copy(update=facts)


class Failed(_Event):
    """The job ended without a video. `field` is the input to blame, `hint` the way out, where there is one."""

    type: Literal["failed"] = "failed"
    code: str
    title: str
    text: str
    field: str | None = None
    hint: str | None = None

    def error(self) -> StudioError:
        """The error that the job ended with."""
        return received({name: getattr(self, name) for name in ("code", "title", "text", "field", "hint")})


class Stopped(_Event):
    """The job was cancelled."""

    type: Literal["cancelled"] = "cancelled"


Event = Queued | Stage | Step | Preview | Notice | Heartbeat | Done | Failed | Stopped
EVENTS: Mapping[str, type[Event]] = {
    kind.model_fields["type"].default: kind
    for kind in (Queued, Stage, Step, Preview, Notice, Heartbeat, Done, Failed, Stopped)
}
"""The events by their type."""


class Coming(Model):
    """A download that runs, or how the last one ended. `done` and `total` are bytes; `text` says what went wrong."""

    state: Literal["running", "cancelled", "failed"] = "running"
    done: int = 0
    total: int = 0
    text: str = ""


class OnDisk(Model):
    """What lies of a checkpoint or LoRA on the disk of a Space.

    `bytes` of it are there, of about `wanted` in all. What comes with the `code` or on a `volume` is nobody's to
    delete; the rest is in the Hub's `cache`.
    """

    where: Literal["code", "volume", "cache"] = "cache"
    whole: bool = False
    bytes: int = 0
    wanted: int = 0
    coming: Coming | None = None


class LoraInfo(Model):
    """A LoRA as a manifest lists it; `loaded` says that the model in memory has it."""

    key: str
    disk: OnDisk
    loaded: bool = False


class CheckpointInfo(Model):
    """A checkpoint as a manifest lists it.

    `disk` is None where a Space does not say.
    `revision` is the commit of the repository that was loaded, or is pinned; empty while nobody knows. Wan-Nano's is
    `nano-` and a hash of its files.
    """

    key: str
    name: str
    generation: str
    presets: list[PresetName]
    moe: bool
    fps: int
    revision: str = ""
    disk: OnDisk | None = None

    @classmethod
    def of(cls, row: Checkpoint, revision: str = "", disk: OnDisk | None = None) -> Self:
        """A row of the catalog as a manifest lists it."""
        return cls(
            key=row.key, name=row.name, generation=row.generation, presets=list(row.presets), moe=row.moe,
            fps=row.fps, revision=revision or row.revision or "", disk=disk,
        )  # fmt: skip


class Jobs(Model):
    """How many jobs a place has, whoever sent them: at work, and waiting in any of its lines; it does `at_once`."""

    running: Count = 0
    waiting: Count = 0
    at_once: Annotated[int, Field(ge=1, le=999)] = 1

    @property
    def all(self) -> int:
        """Those at work and those that wait."""
        return self.running + self.waiting


class Manifest(Model):
    """What a mode Space says of itself; the router reads it before it sends anything.

    `administered` says that it has `/admin`; `loras` are those of its checkpoints. `jobs` is None where a Space does
    not say; one that is `draining` finishes those and takes no more.
    """

    contract: int = CONTRACT_VERSION
    git_sha: str
    mode: ModeKey
    checkpoints: list[CheckpointInfo]
    default_checkpoint: str
    weights: Weights
    backend: Backend
    presets: list[PresetName]
    fields: dict[str, Any]
    loaded: list[str]
    cache_bytes: int
    versions: Mapping[str, str]
    loras: list[LoraInfo] = Field(default_factory=lambda: list[LoraInfo]())
    administered: bool = False
    jobs: Jobs | None = None
    draining: bool = False
