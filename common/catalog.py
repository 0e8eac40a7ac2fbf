"""Every checkpoint, LoRA, resolution and default of the Wan family, said once.

The only file that names a Hub repository. Sources: the model cards and configs of Wan-AI and upstream's own
defaults; parameter counts are our own, taken on the meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from common.shortcuts import Shortcuts
from common.speech import CLIPS, NANO_CLIPS

Weights = Literal["nano", "wan"]
PresetName = Literal["fast", "quality"]
GpuSize = Literal["large", "xlarge"]
Target = Literal["transformer", "transformer_2"]

NEGATIVE_PROMPT: Final = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)
"""The negative prompt that every Wan model was tuned with (upstream's `sample_neg_prompt`), but for two of 2.1."""

_STILL_CAMERA: Final = f"镜头晃动，{NEGATIVE_PROMPT}"
"""Wan 2.1 I2V's: no shaking camera."""
_SPEAKER: Final = (
    "画面模糊，最差质量，画面模糊，细节模糊不清，情绪激动剧烈，手快速抖动，字幕，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""Wan 2.2 S2V's own."""
_ONE_SHOT: Final = f"镜头切换，{_STILL_CAMERA}"
"""Wan 2.1 FLF2V's: no cut, either."""

MAX_PROMPT_TOKENS: Final = 512
"""UMT5 reads this many tokens of a prompt; the rest is dropped."""

MAX_SECONDS: Final = 8.0
"""Longest clip on offer, in seconds (the models were trained on about 5)."""

MAX_STEPS: Final = 50
"""UniPC repeats integer timesteps, and asserts, from 64 steps on at shift 16."""


@dataclass(frozen=True)
class Generation:
    """A generation of Wan. `open_weights` is False where Alibaba offers an API only."""

    key: str
    name: str
    open_weights: bool = True
    note: str = ""


GENERATIONS: Final[Mapping[str, Generation]] = {
    g.key: g
    for g in (
        Generation("2.1", "Wan 2.1"),
        Generation("2.2", "Wan 2.2"),
        Generation("2.5", "Wan 2.5", open_weights=False, note="Alibaba offers Wan 2.5 through its API only"),
        Generation("2.6", "Wan 2.6", open_weights=False, note="Alibaba offers Wan 2.6 through its API only"),
        Generation("2.7", "Wan 2.7", open_weights=False, note="Alibaba offers Wan 2.7 through its API only"),
    )
}


@dataclass(frozen=True)
class Resolution:
    """A frame size in pixels."""

    width: int
    height: int

    @property
    def aspect(self) -> str:
        """The nearest usual aspect ratio, such as `16:9`."""
        usual = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "3:2": 3 / 2, "2:3": 2 / 3}
        return min(usual, key=lambda name: abs(usual[name] - self.width / self.height))

    @property
    def label(self) -> str:
        """As shown in the resolution menu: `832x480 (16:9)`."""
        return f"{self.width}x{self.height} ({self.aspect})"

    @property
    def size(self) -> str:
        """`832x480`, as on the command line."""
        return f"{self.width}x{self.height}"

    @property
    def area(self) -> int:
        """Pixels a frame."""
        return self.width * self.height


R480 = (Resolution(832, 480), Resolution(480, 832))
R720 = (Resolution(1280, 720), Resolution(720, 1280), Resolution(960, 960))
R704 = (Resolution(1280, 704), Resolution(704, 1280))
R_S2V = (
    Resolution(832, 448), Resolution(448, 832), Resolution(640, 640), Resolution(1024, 704), Resolution(704, 1024),
    Resolution(832, 832),
)  # fmt: skip
R_ANIMATE_2 = (Resolution(640, 800), Resolution(800, 640), Resolution(704, 704), *R480)
NANO_RESOLUTIONS: Final = (Resolution(128, 128), Resolution(192, 128), Resolution(128, 192))
NANO_FRAMES: Final = 17


@dataclass(frozen=True)
class LoraFile:
    """One safetensors file of a LoRA and the transformer that it goes into."""

    weight_name: str
    rank: int
    target: Target = "transformer"


@dataclass(frozen=True)
class Lora:
    """A LoRA as published: one file, or a HIGH + LOW pair for a mixture of experts.

    `kind` names the Wan-Nano model whose LoRA stands in for it; empty where there is none.
    """

    key: str
    name: str
    repo: str
    files: tuple[LoraFile, ...]
    kind: str
    note: str = ""
    revision: str | None = None


_KIJAI = "Kijai/WanVideo_comfy"
LORAS: Final[Mapping[str, Lora]] = {
    lora.key: lora
    for lora in (
        Lora(
            "lightning-2.1-t2v",
            "lightx2v Wan 2.1 T2V StepDistill-CfgDistill v2, rank 128",
            _KIJAI,
            (LoraFile("Lightx2v/lightx2v_T2V_14B_cfg_step_distill_v2_lora_rank128_bf16.safetensors", 128),),
            kind="dense",
        ),
        Lora(
            "lightning-2.1-i2v",
            "lightx2v Wan 2.1 I2V StepDistill-CfgDistill, rank 128",
            _KIJAI,
            (LoraFile("Lightx2v/lightx2v_I2V_14B_480p_cfg_step_distill_rank128_bf16.safetensors", 128),),
            kind="i2v-clip",
        ),
        Lora(
            "lightning-2.2-t2v",
            "Wan2.2-Lightning T2V V2.0, HIGH + LOW",
            _KIJAI,
            (
                LoraFile(
                    "LoRAs/Wan22-Lightning/"
                    "Wan22_A14B_T2V_HIGH_Lightning_4steps_lora_250928_rank128_fp16.safetensors",
                    128,
                ),
                LoraFile(
                    "LoRAs/Wan22-Lightning/"
                    "Wan22_A14B_T2V_LOW_Lightning_4steps_lora_250928_rank64_fp16.safetensors",
                    64,
                    "transformer_2",
                ),
            ),
            kind="moe",
        ),
        Lora(
            "lightning-2.2-i2v",
            "lightx2v Wan 2.2 I2V 4-step, HIGH + LOW, rank 64",
            _KIJAI,
            (
                LoraFile(
                    "LoRAs/Wan22_Lightx2v/"
                    "Wan_2_2_I2V_A14B_HIGH_lightx2v_4step_lora_260412_rank_64_fp16.safetensors",
                    64,
                ),
                LoraFile(
                    "LoRAs/Wan22_Lightx2v/"
                    "Wan_2_2_I2V_A14B_LOW_lightx2v_4step_lora_260412_rank_64_fp16.safetensors",
                    64,
                    "transformer_2",
                ),
            ),
            kind="i2v-moe",
        ),
        Lora(
            "hybrid-2.2-i2v",
            "lightx2v Wan 2.1 I2V LoRA on both experts of Wan 2.2 I2V",
            _KIJAI,
            (
                LoraFile("Lightx2v/lightx2v_I2V_14B_480p_cfg_step_distill_rank128_bf16.safetensors", 128),
                LoraFile(
                    "Lightx2v/lightx2v_I2V_14B_480p_cfg_step_distill_rank128_bf16.safetensors",
                    128,
                    "transformer_2",
                ),
            ),
            kind="i2v-clip",
            note="Experimental: sharper than Wan 2.2's own Lightning to many eyes, but trained for Wan 2.1.",
        ),
        Lora(
            "relight-2.2-animate",
            "Wan-Animate relighting",
            _KIJAI,
            (LoraFile("LoRAs/Wan22_relight/WanAnimate_relight_lora_fp16.safetensors", 128),),
            kind="",
            note="Makes the character's light that of the scene.",
        ),
    )
}


@dataclass(frozen=True)
class Preset:
    """Sampler settings under one name; `loras` are attached and active while it is in effect.

    A DMD student (FastWan) has `dmd_denoising_steps`, the timesteps it was distilled at, and the sampler that
    goes with them; all others run on UniPC.
    """

    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    guidance_scale_2: float | None = None
    loras: tuple[str, ...] = ()
    note: str = ""
    dmd_denoising_steps: tuple[int, ...] = ()
    shortcuts: Shortcuts | None = None


@dataclass(frozen=True)
class Architecture:
    """Sizes that decide cost: of one transformer, and of what the pipeline holds beside it.

    `parameters` counts one transformer, whose input has `channels`; `spatial` and `temporal` are the VAE's
    compression. After some of its layers it may look at a face (`face_adapters`), or listen (`audio_injectors`);
    or it reads the driving video once and has keys and values of it in every layer (`caches_video`). Parameter counts
    were taken on the meta device.
    """

    parameters: int
    layers: int
    dim: int
    ffn: int
    spatial: int = 8
    temporal: int = 4
    experts: int = 1
    clip: bool = False
    control_layers: int = 0
    channels: int = 16
    face_adapters: int = 0
    audio_injectors: int = 0
    caches_video: bool = False

    @property
    def latent_channels(self) -> int:
        """What the VAE makes of three colours."""
        return 48 if self.spatial == 16 else 16


_1_3B = Architecture(1_418_996_800, 30, 1536, 8960)
_14B = Architecture(14_288_491_584, 40, 5120, 13824)
_A14B_T2V = Architecture(14_288_491_584, 40, 5120, 13824, experts=2)
_A14B_I2V = Architecture(14_288_901_184, 40, 5120, 13824, experts=2, channels=36)
_I2V_14B = Architecture(16_394_878_784, 40, 5120, 13824, clip=True, channels=36)
_FLF2V_14B = Architecture(16_395_536_704, 40, 5120, 13824, clip=True, channels=36)
_5B = Architecture(4_999_787_712, 30, 3072, 14336, spatial=16, channels=48)
_VACE_1_3B = Architecture(2_153_972_032, 30, 1536, 8960, control_layers=15)
_S2V_14B = Architecture(16_295_755_609, 40, 5120, 13824, audio_injectors=12)
_ANIMATE_14B = Architecture(17_274_816_884, 40, 5120, 13824, clip=True, channels=36, face_adapters=8)
_ANIMATE_2_14B = Architecture(16_394_878_784, 40, 5120, 13824, clip=True, channels=36, caches_video=True)
_VACE_FUN_14B = Architecture(17_337_592_896, 40, 5120, 13824, experts=2, control_layers=8)
_VACE_14B = Architecture(17_337_592_896, 40, 5120, 13824, control_layers=8)

TEXT_ENCODER_PARAMETERS: Final = 5_680_910_336
TEXT_TABLE_PARAMETERS: Final = 256_384 * 4096
"""Of these, UMT5's table of words, in which a prompt is looked up."""
VAE_PARAMETERS: Final[Mapping[int, int]] = {8: 126_892_531, 16: 704_688_668}
CLIP_PARAMETERS: Final = 630_766_080
AUDIO_ENCODER_PARAMETERS: Final = 315_438_720
"""Of wav2vec2-large, which listens for S2V."""


@dataclass(frozen=True)
class Published:
    """Bytes of a parameter in a repository's files; all of them hold VAE and CLIP in fp32."""

    transformer: int = 4
    text_encoder: int = 2


FP32: Final = Published(text_encoder=4)
"""Wan 2.1's repositories, by the sizes of T2V-1.3B, T2V-14B and I2V-480P; the others, FastWan 2.1's too, are taken
to be like them."""
FP32_EXPERTS: Final = Published()
"""Wan 2.2's: A14B and Animate by their sizes (Animate's page says 82.3 GB), TI2V-5B by the account of who repacked it
(transformer fp32, UMT5 bf16). FastWan 2.2 has UMT5 in bf16 as well; its transformer is taken to be fp32."""
BF16: Final = Published(transformer=2)
"""Taken to be: nobody here has seen the sizes, but for Animate-2's (by those who list its files)."""


@dataclass(frozen=True)
class FrameLaw:
    """The numbers of frames that a model makes: `step` times k, and `rest`.

    The VAE packs the first frame alone and then four by four; diffusers rounds any other number.
    """

    step: int = 4
    rest: int = 1

    @property
    def words(self) -> str:
        """Such as 4k+1."""
        if self.step == 1:
            return "any number"
        return f"{self.step}k+{self.rest}" if self.rest else f"{self.step}k"

    @property
    def least(self) -> int:
        """The smallest of them."""
        return self.rest or self.step

    def allows(self, frames: int) -> bool:
        """Whether it is one of them."""
        return frames >= self.least and frames % self.step == self.rest

    def below(self, frames: int) -> int:
        """The largest that is no more than `frames`; the smallest where there is none."""
        return max((frames - self.rest) // self.step * self.step + self.rest, self.least)

    def nearest(self, frames: float) -> int:
        """The one that is nearest."""
        return max(round((frames - self.rest) / self.step) * self.step + self.rest, self.least)

    def latent(self, frames: int) -> int:
        """How many frames the VAE makes of them."""
        return (frames - self.rest) // self.step + self.rest

    def frames(self, latent: int) -> int:
        """How many frames so many latent ones are."""
        return (latent - self.rest) * self.step + self.rest


CLIP_LAW: Final = FrameLaw()
"""Most models': 4k+1, of which 1 is a still."""
ANY_LAW: Final = FrameLaw(step=1, rest=0)
"""Of a model that makes its video in segments and trims the last one: any number."""


@dataclass(frozen=True)
class SegmentLaw:
    """How a model makes a long video: segments of `frames`, each of which begins with the last ones of that before.

    How many are `carried` over may be chosen; the first is the default. Or none is, and the first segment lacks its
    first frames, which are `dropped`, and with every other one the VAE decodes the last `motion` frames again. `law`
    is that of what is sampled at once. Wan-Nano's segments have `nano` frames, and go on from `nano_motion`.
    """

    frames: int
    carried: tuple[int, ...] = (1,)
    dropped: int = 0
    motion: int = 0
    law: FrameLaw = CLIP_LAW
    nano: int = NANO_FRAMES
    nano_motion: int = 0

    def length(self, weights: Weights) -> int:
        """Frames of a segment."""
        return self.nano if weights == "nano" else self.frames

    def again(self, weights: Weights) -> int:
        """Frames that the VAE decodes again with every segment."""
        return self.nano_motion if weights == "nano" else self.motion

    def count(self, num_frames: int, carried: int, weights: Weights) -> int:
        """Segments of a video; the last one may reach beyond its end."""
        return max(-(-(num_frames + self.dropped - carried) // (self.length(weights) - carried)), 1)


SPEECH: Final = SegmentLaw(
    CLIPS.frames, carried=(0,), dropped=CLIPS.dropped, motion=CLIPS.motion, law=FrameLaw(rest=0),
    nano=NANO_CLIPS.frames, nano_motion=NANO_CLIPS.motion,
)  # fmt: skip
"""How S2V's clips follow one another; see common/speech.py."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One set of weights as Wan-AI (or, where said, the community) publishes it.

    `kind` names the Wan-Nano model that stands in for it, and is empty where there is none; `upstream_steps` is what
    upstream itself samples with; a preset that a checkpoint lacks is simply not in `presets`. `revision` is the
    commit of the repository that is taken; None takes what is there today. `law` and `seconds` are for the whole
    video, which is made in one piece unless there are `segments`. `pipeline` is the class that runs it in place of
    its mode's; `animates` is what it can do with a character: animate it, or replace somebody by it. Wan-Nano takes
    no more than `nano_steps`.
    """

    key: str
    name: str
    generation: str
    repo: str
    kind: str
    architecture: Architecture
    resolutions: tuple[Resolution, ...]
    fps: int
    num_frames: int
    upstream_steps: int
    presets: Mapping[PresetName, Preset] = field(hash=False)
    boundary_ratio: float | None = None
    other_loras: tuple[str, ...] = ()
    gpu_size: GpuSize = "large"
    licence: str = "Apache-2.0"
    community: bool = False
    published: Published = FP32
    revision: str | None = None
    law: FrameLaw = CLIP_LAW
    segments: SegmentLaw | None = None
    seconds: float = MAX_SECONDS
    pipeline: str = ""
    animates: tuple[str, ...] = ()
    negative_prompt: str = NEGATIVE_PROMPT
    nano_steps: int = 24

    @property
    def loras(self) -> tuple[str, ...]:
        """All that a request may choose: those of its presets, and `other_loras` in their place."""
        own = [key for preset in self.presets.values() for key in preset.loras]
        return tuple(dict.fromkeys([*own, *self.other_loras]))

    def attachable(self, weights: Weights) -> list[str]:
        """Those of `loras` that there are files of: Wan-Nano does not stand in for every one."""
        return [key for key in self.loras if weights == "wan" or LORAS[key].kind]

    @property
    def moe(self) -> bool:
        """Two experts, and so two guidance scales."""
        return self.boundary_ratio is not None

    @property
    def references(self) -> int:
        """Latent frames that every segment has besides: of the picture, and for S2V of what was made before."""
        if self.architecture.audio_injectors:
            return 3  # 19 latent frames in as many tokens as 1.5
        return 1 if self.segments else 0

    @property
    def grid(self) -> int:
        """Width and height must be multiples of this: VAE compression times the largest patch."""
        return self.architecture.spatial * (8 if self.architecture.audio_injectors else 2)

    @property
    def max_frames(self) -> int:
        """The longest on offer: about `seconds`."""
        return self.law.nearest(self.seconds * self.fps)

    @property
    def sampled(self) -> FrameLaw:
        """The law of what is sampled at once."""
        return self.segments.law if self.segments else self.law

    def sizes(self, weights: Weights) -> tuple[Resolution, ...]:
        """The resolutions on offer under `weights`."""
        return NANO_RESOLUTIONS if weights == "nano" else self.resolutions

    def default_frames(self, weights: Weights) -> int:
        """Frames a clip has unless asked otherwise; those of one segment where it is made of several."""
        return NANO_FRAMES if weights == "nano" else self.num_frames

    def at_once(self, weights: Weights) -> int:
        """Frames that are sampled together: of a segment, or of a clip as long as it is unless asked otherwise."""
        return self.segments.length(weights) if self.segments else self.default_frames(weights)

    def steps(self, preset: PresetName, weights: Weights) -> int:
        """Steps of a preset; Wan-Nano needs fewer than the real models for Quality."""
        steps = self.presets[preset].num_inference_steps
        return min(steps, self.nano_steps) if weights == "nano" else steps


def _quality(
    cfg: float, shift: float, cfg_2: float | None = None, steps: int = 30, shortcuts: Shortcuts | None = None
) -> Preset:
    return Preset(steps, cfg, shift, guidance_scale_2=cfg_2, shortcuts=shortcuts)


_REUSING: Final = Shortcuts()
_UNGUIDED: Final = Shortcuts(residual_diff_threshold=None)
"""VACE's, whose blocks the step cache would have compiled one by one."""


def _lightning(lora: str, shift: float = 5.0, *, moe: bool = False, note: str = "") -> Preset:
    # Shift 5 puts 4 UniPC steps on t = 999, 937, 833, 625: the list Lightning was distilled on.
    return Preset(4, 1.0, shift, guidance_scale_2=1.0 if moe else None, loras=(lora,), note=note)


def _distilled(shift: float, note: str = "") -> Preset:
    # FastWan replaces the whole transformer by a 3-step student; no LoRA, and no slow preset to fall back to.
    # The shift is for step counts other than its own.
    steps = (1000, 757, 522)
    return Preset(len(steps), 1.0, shift, note=note, dmd_denoising_steps=steps)


CHECKPOINTS: Final[Mapping[str, Checkpoint]] = {
    c.key: c
    for c in (
        Checkpoint(
            key="wan2.1-t2v-1.3b", name="Wan 2.1 T2V-1.3B", generation="2.1",
            repo="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", kind="dense", architecture=_1_3B,
            resolutions=R480, fps=16, num_frames=81, upstream_steps=50,
            presets={"quality": _quality(6.0, 8.0)},
        ),
        Checkpoint(
            key="wan2.1-t2v-14b", name="Wan 2.1 T2V-14B", generation="2.1",
            repo="Wan-AI/Wan2.1-T2V-14B-Diffusers", kind="dense", architecture=_14B,
            resolutions=R480 + R720, fps=16, num_frames=81, upstream_steps=50,
            presets={"fast": _lightning("lightning-2.1-t2v"), "quality": _quality(5.0, 5.0, shortcuts=_REUSING)},
        ),
        Checkpoint(
            key="wan2.2-t2v-a14b", name="Wan 2.2 T2V-A14B (MoE)", generation="2.2",
            repo="Wan-AI/Wan2.2-T2V-A14B-Diffusers", kind="moe", architecture=_A14B_T2V,
            resolutions=R480 + R720, fps=16, num_frames=81, upstream_steps=40,
            boundary_ratio=0.875, gpu_size="xlarge", published=FP32_EXPERTS,
            presets={
                "fast": _lightning("lightning-2.2-t2v", moe=True),
                "quality": _quality(4.0, 12.0, 3.0, shortcuts=_REUSING),
            },
        ),
        Checkpoint(
            key="wan2.2-ti2v-5b", name="Wan 2.2 TI2V-5B", generation="2.2",
            repo="Wan-AI/Wan2.2-TI2V-5B-Diffusers", kind="ti2v", architecture=_5B,
            resolutions=R704, fps=24, num_frames=121, upstream_steps=50, published=FP32_EXPERTS,
            presets={"quality": _quality(5.0, 5.0)},
        ),
        Checkpoint(
            key="wan2.1-i2v-14b-480p", name="Wan 2.1 I2V-14B-480P", generation="2.1",
            repo="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", kind="i2v-clip", architecture=_I2V_14B,
            resolutions=R480, fps=16, num_frames=81, upstream_steps=40, negative_prompt=_STILL_CAMERA,
            presets={"fast": _lightning("lightning-2.1-i2v"), "quality": _quality(5.0, 3.0, shortcuts=_REUSING)},
        ),
        Checkpoint(
            key="wan2.1-i2v-14b-720p", name="Wan 2.1 I2V-14B-720P", generation="2.1",
            repo="Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", kind="i2v-clip", architecture=_I2V_14B,
            resolutions=R720, fps=16, num_frames=81, upstream_steps=40, negative_prompt=_STILL_CAMERA,
            presets={"fast": _lightning("lightning-2.1-i2v"), "quality": _quality(5.0, 5.0, shortcuts=_REUSING)},
        ),
        Checkpoint(
            key="wan2.2-i2v-a14b", name="Wan 2.2 I2V-A14B (MoE)", generation="2.2",
            repo="Wan-AI/Wan2.2-I2V-A14B-Diffusers", kind="i2v-moe", architecture=_A14B_I2V,
            resolutions=R480 + R720, fps=16, num_frames=81, upstream_steps=40,
            boundary_ratio=0.900, other_loras=("hybrid-2.2-i2v",), gpu_size="xlarge", published=FP32_EXPERTS,
            presets={
                "fast": _lightning(
                    "lightning-2.2-i2v", moe=True,
                    note="Lightning for Wan 2.2 I2V is softer than for Wan 2.1; use Quality for fine detail.",
                ),
                "quality": _quality(3.5, 5.0, 3.5, shortcuts=_REUSING),
            },
        ),
        Checkpoint(
            key="wan2.1-flf2v-14b-720p", name="Wan 2.1 FLF2V-14B-720P", generation="2.1",
            repo="Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", kind="flf2v", architecture=_FLF2V_14B,
            resolutions=R720, fps=16, num_frames=81, upstream_steps=50, negative_prompt=_ONE_SHOT,
            presets={
                "fast": _lightning(
                    "lightning-2.1-i2v",
                    note="Experimental: this Lightning LoRA was trained for I2V, not for a last frame.",
                ),
                "quality": _quality(5.5, 16.0, shortcuts=_REUSING),
            },
        ),
        Checkpoint(
            key="wan2.1-vace-1.3b", name="Wan 2.1 VACE-1.3B", generation="2.1",
            repo="Wan-AI/Wan2.1-VACE-1.3B-diffusers", kind="vace", architecture=_VACE_1_3B,
            resolutions=R480, fps=16, num_frames=81, upstream_steps=50,
            presets={"quality": _quality(5.0, 16.0)},
        ),
        Checkpoint(
            key="wan2.1-vace-14b", name="Wan 2.1 VACE-14B", generation="2.1",
            repo="Wan-AI/Wan2.1-VACE-14B-diffusers", kind="vace", architecture=_VACE_14B,
            resolutions=R480 + R720, fps=16, num_frames=81, upstream_steps=50,
            presets={"quality": _quality(5.0, 16.0, shortcuts=_UNGUIDED)},
        ),
        Checkpoint(
            key="wan2.2-s2v-14b", name="Wan 2.2 S2V-14B", generation="2.2",
            repo="FastVideo/Wan2.2-S2V-14B-Diffusers", kind="s2v", architecture=_S2V_14B, resolutions=R_S2V,
            fps=CLIPS.fps, num_frames=CLIPS.frames - CLIPS.dropped, upstream_steps=40, published=BF16,
            law=ANY_LAW, segments=SPEECH, seconds=60, presets={"quality": _quality(4.5, 3.0)},
            negative_prompt=_SPEAKER, nano_steps=8,
        ),
        Checkpoint(
            key="wan2.2-animate-14b", name="Wan 2.2 Animate-14B", generation="2.2",
            repo="Wan-AI/Wan2.2-Animate-14B-Diffusers", kind="animate", architecture=_ANIMATE_14B,
            resolutions=R480 + R720, fps=30, num_frames=77, upstream_steps=20, gpu_size="xlarge",
            law=ANY_LAW, segments=SegmentLaw(77, carried=(1, 5)), seconds=20, animates=("animate", "replace"),
            published=FP32_EXPERTS,
            presets={"quality": _quality(1.0, 5.0, steps=20)}, other_loras=("relight-2.2-animate",),
        ),
        Checkpoint(
            key="wan2.2-animate-2-14b", name="Wan 2.2 Animate-2-14B", generation="2.2",
            repo="Wan-AI/Wan2.2-Animate-2-14B-Diffusers", kind="", architecture=_ANIMATE_2_14B,
            resolutions=R_ANIMATE_2, fps=24, num_frames=81, upstream_steps=40, gpu_size="xlarge", published=BF16,
            law=ANY_LAW, segments=SegmentLaw(81), seconds=20, animates=("animate",),
            pipeline="WanAnimate2ModularPipeline", presets={"quality": _quality(3.0, 5.0, steps=40)},
        ),
        Checkpoint(
            key="wan2.2-animate-2-14b-distilled", name="Wan 2.2 Animate-2-14B Distilled", generation="2.2",
            repo="Wan-AI/Wan2.2-Animate-2-14B-Distilled-Diffusers", kind="", architecture=_ANIMATE_2_14B,
            resolutions=R_ANIMATE_2, fps=24, num_frames=81, upstream_steps=10, gpu_size="xlarge", published=BF16,
            law=ANY_LAW, segments=SegmentLaw(81), seconds=20, animates=("animate",),
            pipeline="WanAnimate2DistilledModularPipeline",
            presets={"fast": Preset(10, 1.0, 5.0)},
        ),
        Checkpoint(
            key="fastwan2.1-t2v-1.3b", name="FastWan 2.1 T2V-1.3B", generation="2.1",
            repo="FastVideo/FastWan2.1-T2V-1.3B-Diffusers", kind="dense", architecture=_1_3B,
            resolutions=R480, fps=16, num_frames=81, upstream_steps=3, community=True,
            presets={
                "fast": _distilled(
                    8.0,
                    note="FastWan 1.3B was trained with sparse attention, which diffusers does not have: here it "
                    "attends to everything, slower than it was made for and a little differently.",
                )
            },
        ),
        Checkpoint(
            key="fastwan2.2-ti2v-5b", name="FastWan 2.2 TI2V-5B", generation="2.2",
            repo="FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers", kind="ti2v", architecture=_5B,
            resolutions=R704, fps=24, num_frames=121, upstream_steps=3, community=True, published=FP32_EXPERTS,
            presets={"fast": _distilled(5.0)},
        ),
        Checkpoint(
            key="wan2.2-vace-fun-14b", name="Wan 2.2 VACE-Fun-A14B (MoE)", generation="2.2",
            repo="linoyts/Wan2.2-VACE-Fun-14B-diffusers", kind="vace-moe", architecture=_VACE_FUN_14B,
            resolutions=R480 + R720, fps=16, num_frames=81, upstream_steps=50,
            boundary_ratio=0.875, gpu_size="xlarge", community=True, published=BF16,
            presets={"quality": _quality(5.0, 16.0, 5.0, shortcuts=_UNGUIDED)},
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Annotator:
    """A model that turns a source video into a control video or a mask; downloaded only when asked for.

    `files` are the parts of the repository that are needed (all of it when empty; `*` for all of a folder's);
    `package` is what must be installed beside our own dependencies.
    """

    key: str
    name: str
    repo: str
    megabytes: int
    package: str = ""
    files: tuple[str, ...] = ()
    licence: str = "Apache-2.0"


ANNOTATORS: Final[Mapping[str, Annotator]] = {
    a.key: a
    for a in (
        Annotator("dpt-hybrid", "MiDaS DPT-Hybrid (depth)", "Intel/dpt-hybrid-midas", 490),
        Annotator(
            "depth-anything", "Depth Anything V2 Small (depth)", "depth-anything/Depth-Anything-V2-Small-hf",
            99,
        ),
        Annotator(
            "dwpose", "DWPose (whole-body pose)", "yzd-v/DWPose", 352, package="onnxruntime",
            files=("yolox_l.onnx", "dw-ll_ucoco_384.onnx"),
        ),
        Annotator(
            "raft-large", "RAFT Large (optical flow)", "download.pytorch.org/models", 21,
            package="torchvision", files=("raft_large_C_T_SKHT_V2-ff5fadd5.pth",), licence="BSD-3-Clause",
        ),
        Annotator(
            "vitpose", "ViTPose-H with YOLOv10 (whole-body pose)", "Wan-AI/Wan2.2-Animate-14B", 2640,
            package="onnxruntime",
            files=(
                "process_checkpoint/det/yolov10m.onnx",
                "process_checkpoint/pose2d/vitpose_h_wholebody.onnx/*",  # end2end.onnx and its data beside it
            ),
        ),
        Annotator("sam2", "SAM 2.1 Hiera Small (mask tracking)", "facebook/sam2.1-hiera-small", 184),
        Annotator(
            "grounding-dino", "Grounding DINO Tiny (boxes from words)", "IDEA-Research/grounding-dino-tiny",
            690,
        ),
    )
}  # fmt: skip
