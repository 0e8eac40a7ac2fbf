"""Nano's four shapes as signed distances, in the arithmetic of numpy or of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

TIP, INNER = 1.15, 0.55
"""A star's points and its notches, in radii."""


def circle(m: Any, x: Any, y: Any, radius: Any) -> Any:
    """`m` is numpy or torch; roughly how far x, y lie outside an outline around the origin."""
    return m.sqrt(x * x + y * y + 1e-8) - radius


def square(m: Any, x: Any, y: Any, radius: Any) -> Any:
    return m.maximum(abs(x), abs(y)) - 0.86 * radius


def triangle(m: Any, x: Any, y: Any, radius: Any) -> Any:
    return m.maximum(abs(x) * (3**0.5 / 2) - y * 0.5, y) - 0.58 * radius


def star(m: Any, x: Any, y: Any, radius: Any) -> Any:
    away, fifth = m.sqrt(x * x + y * y + 1e-8), 2 * math.pi / 5
    turn = m.remainder(m.arctan2(y, x) + math.pi / 2 + fifth / 2, fifth) - fifth / 2
    dx, dy = INNER * math.cos(fifth / 2) - TIP, INNER * math.sin(fifth / 2)
    return ((away * m.cos(turn) - TIP * radius) * dy - away * m.sin(abs(turn)) * dx) / math.hypot(dx, dy)


OUTLINES: tuple[Callable[[Any, Any, Any, Any], Any], ...] = (circle, square, triangle, star)
"""In the order of the words."""
TURNS = (0.0, math.pi / 2, 2 * math.pi / 3, 2 * math.pi / 5)
"""How far each turns until it looks as before; a circle never looks otherwise."""
AREAS = (3.142, 2.958, 1.748, 1.859)
"""What each covers with a radius of 1."""
