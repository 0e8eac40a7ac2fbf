"""What a visitor has set for the presets of a mode, which a panel takes in place of the models' own."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from pydantic import Field

from common.catalog import MAX_STEPS, PresetName
from common.contract import Given
from common.modes import rules


class PresetDefaults(Given):
    """None means the model's own."""

    num_inference_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=rules.MAX_GUIDANCE, allow_inf_nan=False)] | None = None


class ModeDefaults(Given):
    """Of one mode. `hybrid` is I2V's: Fast on Wan 2.2 with the LoRA of Wan 2.1."""

    fast: PresetDefaults = Field(default_factory=PresetDefaults)
    quality: PresetDefaults = Field(default_factory=PresetDefaults)
    hybrid: bool = False

    def values(self, preset: PresetName) -> dict[str, Any]:
        """What a request asks for under a preset, by its names."""
        return {"fast": self.fast, "quality": self.quality}[preset].model_dump(exclude_none=True)


NONE = ModeDefaults()


class Own(Protocol):
    """Where a page finds them. `stored` is the component that what a browser keeps comes from."""

    stored: Any

    def of(self, mode: str, stored: object) -> ModeDefaults:
        """Those of a mode; what cannot be read is none."""
        ...
