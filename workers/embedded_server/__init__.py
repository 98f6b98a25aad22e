"""The embedded Valkey server and the process that keeps it running."""
