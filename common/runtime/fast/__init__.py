"""What makes a transformer faster where a card can: a kernel of attention, 8-bit products, compiled blocks."""
