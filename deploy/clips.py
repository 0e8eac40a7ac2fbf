"""What a mode's clip takes on a machine, by the plan of one that was asked for with nothing but what it must have."""

from __future__ import annotations

from typing import Any

from common.catalog import PresetName
from common.contract import Backend, ModeKey, Plan
from common.modes.all import MODES


def clip(mode: ModeKey, checkpoint: str, preset: PresetName, backend: Backend, **more: Any) -> Plan:
    """The plan of a clip of the checkpoint's own size and length, with real weights.

    `more` are fields of the request. A preset that the checkpoint has not is planned as the other one, as everywhere.
    """
    m = MODES[mode]
    videos = [slot for slot in m.slots if slot.kind == "video"]
    given = [slot for slot in m.slots if slot.required or slot in videos[:1]]
    media = {slot.name: [{"path": slot.kind}] if slot.many else {"path": slot.kind} for slot in given}
    values = {"prompt": "a clip", "checkpoint": checkpoint, "preset": preset, **media, **more}
    return m.plan(m.parse(values), backend, weights="wan")
