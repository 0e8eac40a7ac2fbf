"""What every app has before its first component: its look, its door, and the gate that files pass."""
