"""Torch lives here: devices, models, sampling, and the engine that makes a job of them."""
