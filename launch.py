"""Every app in one process."""
