"""Whether Wan-Nano does what it says: figures, and the cards that tell them."""
