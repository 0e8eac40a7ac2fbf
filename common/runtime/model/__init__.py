"""Weights from disk or Hub to a pipeline in memory, and the LoRAs on it."""
