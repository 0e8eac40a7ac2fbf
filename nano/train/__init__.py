"""The laboratory: how Wan-Nano was trained."""
