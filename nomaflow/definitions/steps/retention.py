"""`retention`: the run history's old part is deleted."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nomaflow.definitions.steps.common import StepCommon

Days = Annotated[int, Field(ge=1, le=36_500)]


class Retention(StepCommon):
    """Delete runs that ended long ago, with their logs; the newest run of each job stays for ever."""

    runs_in_engine: ClassVar = True
    is_housekeeping: ClassVar = True

    type: Literal["retention"]
    days: Days | None = None
    failed_days: Days | None = None

    @property
    def detail(self) -> str:
        """How long runs are kept."""
        if self.days is None and self.failed_days is None:
            return "as [retention] of nomaflow.toml says"
        return f"{self.days or 'default'} days, failed runs {self.failed_days or 'default'} days"
