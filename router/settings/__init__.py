"""The Settings page: which models there are and what lies on disk, what fits, preset defaults, caches, versions."""
