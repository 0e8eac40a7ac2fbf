"""Pushes the federation to the Hub, or runs its bundles on this machine."""
