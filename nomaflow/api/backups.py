"""Backups of the run store and the home's files."""

from __future__ import annotations

from nomaflow.api.gate import CallIn, api_router, refusals
from nomaflow.api.policy import V1
from nomaflow.wire import BackupInfo, Page

router = api_router("backups")


@router.get(f"{V1}/backups")
async def list_backups(call: CallIn) -> Page[BackupInfo]:
    """The complete backups, newest first."""
    return Page[BackupInfo](items=await call.engine.backups())


@router.post(f"{V1}/backups", status_code=201, responses=refusals(503))
async def make_backup(call: CallIn) -> BackupInfo:
    """Make a backup of the run store, the settings and the job files, while the engine works. It is opened and read as
    a whole before it counts; then older ones go: kept are those of the last day, of seven days and of four weeks."""
    return await call.engine.backup()
