"""The Studio's router: draws every mode, calls their Spaces, moves no video."""
