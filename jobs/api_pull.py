"""The step of the job `api-pull` that keeps what the request before it has brought."""

from __future__ import annotations

from typing import Any

from nomaflow.worker.context import StepContext

TABLES = (
    "create table if not exists issues (repo varchar, number integer, title varchar, state varchar, labels varchar,"
    " opened_at timestamp, updated_at timestamp, primary key (repo, number))",
    "create table if not exists sync_state"
    " (repo varchar primary key, pulled_since date, issues integer, run_id varchar)",
)

# An answer that is older than what is there, as of a run that was late, changes nothing.
UPSERT = """
insert into issues (repo, number, title, state, labels, opened_at, updated_at)
values (:repo, :number, :title, :state, :labels, cast(:opened_at as timestamp), cast(:updated_at as timestamp))
on conflict (repo, number) do update set
    title = excluded.title, state = excluded.state, labels = excluded.labels, updated_at = excluded.updated_at
where excluded.updated_at >= issues.updated_at
"""


def upsert_issues(ctx: StepContext, *, repo: str, target_connector: str, **_: Any) -> dict[str, Any]:
    """Put the issues that `fetch` has brought into the table, each in the place of its older self."""
    items = ctx.previous_step("fetch").output["items"]
    database = ctx.get_connector(target_connector).sync
    with database.transaction():
        for table in TABLES:
            database.execute(table)
        for number, item in enumerate(items, start=1):
            # UTC without saying so, as the column has it.
            days = {name: item[name].removesuffix("Z").replace("T", " ") for name in ("opened_at", "updated_at")}
            row = {"repo": repo, "labels": ", ".join(item["labels"])}
            database.execute(UPSERT, row | days | {name: item[name] for name in ("number", "title", "state")})
            ctx.progress(number, len(items), unit="issues")
    ctx.log.info("▶ %d issues of %s", len(items), repo)
    return {"rows_affected": len(items)}
