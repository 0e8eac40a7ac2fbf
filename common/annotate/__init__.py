"""Control-video makers, one a file, used by the Spaces alone."""
