"""Who lends a device to the jobs of an engine, where that is not this process: workers under Ray, or a server."""
