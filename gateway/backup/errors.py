"""What ends a backup, a check or a restore: each says why and what to do, in two languages."""

from __future__ import annotations


class BackupError(RuntimeError):
    """It was not done; what was there before is as it was."""


class DamagedBackupError(BackupError):
    """What is in the directory is not what was written: the message names the part."""
