"""What the API reads and writes, one file per resource. No function commits: the caller's transaction does."""
