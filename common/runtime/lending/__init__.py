"""Who lends a device to the jobs of an engine, where that is not this process: a pool of workers under Ray."""
