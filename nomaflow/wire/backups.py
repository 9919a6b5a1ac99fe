"""Backups of the run store."""

from __future__ import annotations

from nomaflow.wire.base import Given, Instant


class BackupInfo(Given):
    """A backup; it was opened and read as a whole when it had been made, at `verified_at`.

    `path` is its folder on the engine's machine, `seq` the number of its newest event, `program` what made it.
    """

    name: str
    path: str
    created_at: Instant
    verified_at: Instant
    size_bytes: int
    runs: int
    seq: int
    epoch: int
    schema_version: int
    program: str
