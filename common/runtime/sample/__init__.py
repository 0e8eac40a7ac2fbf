"""From noise to frames, with previews on the way."""
