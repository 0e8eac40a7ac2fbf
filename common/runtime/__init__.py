"""Torch lives here: loading, LoRA, sampling, media."""
