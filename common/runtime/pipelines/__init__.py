"""Pipelines that diffusers lacks, or has in another shape than a job needs."""
