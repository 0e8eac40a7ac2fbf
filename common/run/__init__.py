"""The seam between pages and work: a Runner follows a job, wherever a Service makes its video."""
