"""Several cards for one job: a process for each, of which one leads."""
