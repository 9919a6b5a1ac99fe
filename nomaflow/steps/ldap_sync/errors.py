"""What `ldap_sync` tells a person."""

from __future__ import annotations


class DirectoryError(Exception):
    """The directory cannot be reached, lets nobody in, or its answer is not whole.

    `lasting` says why another try would meet the same; None where it may pass.
    """

    def __init__(self, message: str, lasting: str | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting


class SyncError(Exception):
    """What the directory gave cannot be written as asked; the target is as it was."""

    lasting = "entries and tables stay as they are"


class DeletionGuardError(SyncError):
    """More rows would be deleted than is plausible; the target is as it was."""

    lasting = "somebody has to look whether the answer is right"
