"""A device with what belongs to it alone: whose turn it is, and what lies in its memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from common.contract import Device
from common.runtime.device.residency import Residency
from common.runtime.device.turns import Turns


@dataclass(frozen=True)
class Seat:
    """One device of this process, where one job at a time sits."""

    device: Device
    line: Turns
    residency: Residency


_seats: dict[Device, Seat] = {}
_lock = threading.Lock()


def seat_of(device: Device) -> Seat:
    """The seat of a device: every mode that the launcher mounts shares it."""
    with _lock:
        if device not in _seats:
            _seats[device] = Seat(device, Turns(), Residency(device))
        return _seats[device]
