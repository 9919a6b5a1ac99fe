"""`backup`: the run history, the jobs and the settings are copied, and the copy is verified."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nomaflow.definitions.steps.common import StepCommon

Count = Annotated[int, Field(ge=0, le=1000)]


class Backup(StepCommon):
    """Make a verified backup in `.nomaflow/backups`, and delete the old ones."""

    runs_in_engine: ClassVar = True
    is_housekeeping: ClassVar = True

    type: Literal["backup"]
    keep_daily: Annotated[int, Field(ge=1, le=1000)] = 7
    keep_weekly: Count = 4

    @property
    def detail(self) -> str:
        """How many are kept."""
        return f"into .nomaflow/backups; {self.keep_daily} daily and {self.keep_weekly} weekly ones are kept"
