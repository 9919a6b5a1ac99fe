"""The step types as an editor shows them: a title, a sentence for each option, and what an option is besides its type.

The sentences stand together, since they are read together: as the help of one form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nomaflow.definitions.steps.common import StepCommon

TITLES = {
    "sql_query": "SQL query",
    "sql_copy": "SQL copy",
    "http": "HTTP request",
    "ldap_sync": "LDAP sync",
    "python": "Python function",
    "notebook": "Notebook",
    "shell": "Program",
    "call_job": "Another job",
    "retention": "Delete old runs",
    "backup": "Back up",
}

COMMON = {
    "name": "The step's name, of which there is one in the job.",
    "type": "What kind of step it is; it stays as it is.",
    "enabled": "Whether the step runs. One that is off is skipped, and the next one runs.",
    "timeout_seconds": "When a try takes longer, it is stopped and has failed.",
    "retry": "What of the job's retry is different for this step.",
}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "sql_query": {
        "connector": "The database.",
        "query": "One statement. Values go in as :name, never pasted into the text.",
        "params": "The values of :name; a text may hold ${…}.",
    },
    "sql_copy": {
        "source": "Where the rows come from.",
        "target": "The table that they go into.",
        "mode": "overwrite puts them in the place of the old ones, append adds them, upsert replaces rows by key.",
        "batch_size": "How many rows are moved at once.",
        "key": "The columns by which upsert finds a row; else the target's primary key.",
        "columns": "Which columns are copied, or which one becomes which; all of them when left out.",
        "type_coercion": "How values are read: as they are, or as JD Edwards writes them.",
        "decimal_mode": "What becomes of decimals for which the target's column has no room.",
        "julian_columns": "Columns that hold a day as CYYDDD.",
        "decimal_scales": "How many decimals the whole numbers of a column stand for.",
        "strip_both_columns": "Columns whose texts lose the blanks at both ends.",
    },
    "http": {
        "connector": "The service, which has an address and signs in; none for an address that anybody can reach.",
        "url": "A path below the connector's address, or a whole address.",
        "method": "What is asked for.",
        "headers": "Further headers. Who signs in stands in the connector.",
        "query": "What stands behind the ? of the address.",
        "body": "What is sent: as JSON where it is a table or a list, as it stands where it is a text.",
        "form": "Fields to send as a form, in the place of a body.",
        "expected_statuses": "The statuses with which the step has succeeded.",
        "outputs": "Parts of a JSON answer for later steps: a name, and a pointer such as /items/0/id.",
        "idempotent": "Whether sending it twice does no harm, so that it may be tried again.",
        "max_bytes": "What is read of an answer at most.",
        "max_redirects": "How many redirects are followed.",
        "connect_timeout_seconds": "How long a connection may take to come about.",
    },
    "ldap_sync": {
        "connector": "The directory.",
        "search_base": "The entry at which the search begins.",
        "search_filter": "Which entries are wanted; values go in as {name}.",
        "search_params": "The values of {name}.",
        "scope": "How far below the base is searched.",
        "attributes": "The attributes that are read; those that the mapping names when left out.",
        "page_size": "How many entries are asked for at once.",
        "referrals": "Whether an answer that points to another server fails the step.",
        "separator": "What stands between the values of an attribute that has several.",
        "json_attributes": "Attributes whose values are written as a JSON list.",
        "target_connector": "The database that the entries go into.",
        "target_schema": "The schema of the table.",
        "target_table": "The table that is kept like the directory.",
        "key": "The columns by which an entry's row is found.",
        "mapping": "Which attribute goes into which column.",
        "target_query": "A statement that is run once for each entry, in the place of a table.",
        "deletion": "What becomes of rows whose entry is gone: they stay, are marked, or are deleted.",
        "flag_column": "The column that marks a row whose entry is gone.",
        "flagged_at_column": "The column that says since when.",
        "max_deletions": "More rows than that are never marked or deleted at once: the step fails and changes nothing.",
        "max_deletion_percent": "The same, as a part of all rows.",
    },
    "python": {
        "callable": "module:function, in the jobs folder.",
        "flavour": "The loop that an async function runs on.",
        "op_kwargs": "Values for this step's function, besides the job's parameters.",
    },
    "shell": {
        "argv": "The program and its arguments; no shell reads them.",
        "cwd": "The folder to run in, below the home; the home itself when left out.",
        "env": "Further variables of the program's environment; ${env:X} puts in one of the engine's.",
        "exit_codes": "The exit codes with which the program has succeeded.",
    },
    "retention": {
        "days": "Older runs are deleted; as the settings say when left out.",
        "failed_days": "The same for runs that failed.",
    },
    "backup": {
        "keep_daily": "So many days keep their newest backup.",
        "keep_weekly": "So many weeks keep theirs.",
    },
}
"""Of types that say it with `Field(description=…)` nothing stands here."""


def schema(name: str, record: type[StepCommon]) -> dict[str, Any]:
    """The JSON Schema of a type's options.

    Besides what JSON Schema has: `connector` says that the value names one, and of which kind, and `literal` that
    `${…}` in it stays as it is.
    """
    made = record.model_json_schema(by_alias=True)
    made["title"] = TITLES.get(name, name)
    kinds, texts = dict(connectors(record)), {**COMMON, **OPTIONS.get(name, {})}
    for option, described in made["properties"].items():
        if text := texts.get(option):
            described.setdefault("description", text)
        described.setdefault("title", option.replace("_", " ").title())
        if option in kinds:
            described["connector"] = kinds[option]
        if option in record.literal_options:
            described["literal"] = True
    return made


def connectors(record: type[StepCommon]) -> Iterator[tuple[str, str]]:
    """The options that name connectors, `outer.inner` where they are nested, and the kind that each takes."""
    for path in record.connector_options:
        yield ".".join(path), record.connector_kinds.get(path[0], "sql")


def summary(record: type[StepCommon]) -> str:
    """The first sentence of what the type says of itself."""
    paragraph = (record.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())
