"""The step types: one file each, one line in `STEP_TYPES`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nomaflow.definitions.steps.backup import Backup
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.definitions.steps.http import Http
from nomaflow.definitions.steps.ldap_sync import LdapSync
from nomaflow.definitions.steps.python import Python
from nomaflow.definitions.steps.retention import Retention
from nomaflow.definitions.steps.shell import Shell
from nomaflow.definitions.steps.sql_copy import SqlCopy
from nomaflow.definitions.steps.sql_query import SqlQuery

STEP_TYPES: dict[str, type[StepCommon]] = {
    "sql_query": SqlQuery,
    "sql_copy": SqlCopy,
    "http": Http,
    "ldap_sync": LdapSync,
    "python": Python,
    "shell": Shell,
    "call_job": CallJob,
    "retention": Retention,
    "backup": Backup,
}

Step = Annotated[
    SqlQuery | SqlCopy | Http | LdapSync | Python | Shell | CallJob | Retention | Backup, Field(discriminator="type")
]
