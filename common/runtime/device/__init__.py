"""The machine: which it is, whose turn it is on it, and what lies in its memory."""
