"""Backups: the database, the log's part that it does not hold, secrets and blobs, as one directory that is whole or absent."""
