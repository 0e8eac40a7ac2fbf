"""Wan-S2V, which diffusers has not: its transformer, what it hears, and a clip of it."""
