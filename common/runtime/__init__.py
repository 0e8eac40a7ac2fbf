"""Torch lives here: devices, models, sampling, and the engine that makes a job of them."""

import os

# What Apple's GPUs lack goes to the CPU (`torch.linalg.qr`, which Animate calls). torch reads this as it is imported,
# and whatever way an app is started, this file comes first.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
