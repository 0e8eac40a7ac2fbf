"""The command line `wan-studio`."""
