"""The command line."""


def main() -> int:
    """Entry point of `wan-studio`."""
    raise SystemExit("not built yet")
