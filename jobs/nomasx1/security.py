"""The steps of nomasx1-security-1: who may do what in JDE, refreshed for one `apps_id`.

Each step owns one table of the target and can be run alone, except the last two: they work with what the steps before
them have left in the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from nomaflow import StepContext
from nomasx1 import tables
from nomasx1.refresh import Output, Statement, Table, copy_from_jde, replace, to_julian


async def j_security_users(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """The people, without the roles that JDE keeps in the same table."""
    return await copy_from_jde(ctx, tables.USERS, apps_id, target_connector)


async def j_security_roles(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """The roles and their sequence: where two roles of a user disagree, the higher sequence decides."""
    return await copy_from_jde(ctx, tables.ROLES, apps_id, target_connector)


async def j_security_user_roles(
    ctx: StepContext, *, apps_id: int, target_connector: str, as_of: date, include_expired: bool = False, **_: Any
) -> Output:
    """Which roles a user holds on the day `as_of`; with `include_expired`, those of other days too, not active."""
    binds = {"as_of": to_julian(as_of), "include_expired": int(include_expired)}
    return await copy_from_jde(ctx, tables.USER_ROLES, apps_id, target_connector, binds)


async def j_security_sign_on(
    ctx: StepContext, *, apps_id: int, target_connector: str, as_of: date, password_max_age_days: int = 90, **_: Any
) -> Output:
    """Who can sign on, and whose password was older than `password_max_age_days` on the day `as_of`."""
    oldest = as_of - timedelta(days=password_max_age_days)
    return await copy_from_jde(ctx, tables.SIGN_ON, apps_id, target_connector, {"oldest": to_julian(oldest)})


async def j_security_environments(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Which environments a user or role may sign on to, in the order in which JDE offers them."""
    return await copy_from_jde(ctx, tables.ENVIRONMENTS, apps_id, target_connector)


async def j_security_objects(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Names and types of the objects that at least one rule is about."""
    return await copy_from_jde(ctx, tables.OBJECTS, apps_id, target_connector)


async def j_security_action(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may add, change, delete and copy in an application."""
    return await copy_from_jde(ctx, tables.ACTION, apps_id, target_connector)


async def j_security_column(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may see and fill a column."""
    return await copy_from_jde(ctx, tables.COLUMN, apps_id, target_connector)


async def j_security_application(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may run and install an application."""
    return await copy_from_jde(ctx, tables.APPLICATION, apps_id, target_connector)


async def j_security_row(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may see and change the rows of a table whose data item lies between two values."""
    return await copy_from_jde(ctx, tables.ROW, apps_id, target_connector)


async def j_security_processing_options(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may change the processing options of a version."""
    return await copy_from_jde(ctx, tables.PROCESSING_OPTIONS, apps_id, target_connector)


async def j_security_tab(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may see and change a tab of a form."""
    return await copy_from_jde(ctx, tables.TAB, apps_id, target_connector)


async def j_security_hyper_exits(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may follow an exit from a form's menu."""
    return await copy_from_jde(ctx, tables.HYPER_EXITS, apps_id, target_connector)


async def j_security_exclusive(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may run an application although row security would not let them see its data."""
    return await copy_from_jde(ctx, tables.EXCLUSIVE, apps_id, target_connector)


async def j_security_external_calls(ctx: StepContext, *, apps_id: int, target_connector: str, **_: Any) -> Output:
    """Who may start a program outside JDE."""
    return await copy_from_jde(ctx, tables.EXTERNAL_CALLS, apps_id, target_connector)


def j_security_effective(
    ctx: StepContext, *, apps_id: int, target_connector: str, include_public: bool = True, **_: Any
) -> Output:
    """What each user may run in the end.

    JDE asks the user's own rules first, then those of the active roles from the highest sequence down, then *PUBLIC;
    the first rule about an object decides. An object without a rule is open and is not listed.
    """
    _expect_rows(ctx, apps_id, target_connector, [tables.USERS, tables.ROLES, tables.USER_ROLES, tables.APPLICATION])
    binds = {"apps_id": apps_id, "include_public": int(include_public)}
    return replace(ctx, tables.EFFECTIVE, apps_id, target_connector, [(_EFFECTIVE, binds)])


def j_security_conflicts(
    ctx: StepContext, *, apps_id: int, target_connector: str, rules: Sequence[Sequence[str]], **_: Any
) -> Output:
    """Who may run two applications that one person should not both run.

    A rule is its name and the two applications: `["enter and pay", "P0411", "P0413M"]`. An application that is open
    because no rule is about it does not count.
    """
    _expect_rows(ctx, apps_id, target_connector, [tables.EFFECTIVE])
    output = replace(ctx, tables.CONFLICTS, apps_id, target_connector, _conflict_statements(apps_id, rules))
    if output["rows_affected"]:
        ctx.log.warning("%d conflicts under %d rules; see sec_conflicts", output["rows_affected"], len(rules))
    return output


def _expect_rows(ctx: StepContext, apps_id: int, target_connector: str, needed: Iterable[Table]) -> None:
    """Warn of a table that a step before this one should have filled."""
    target = ctx.get_connector(target_connector).sync
    for table in needed:
        target.execute(table.definition)
        if not target.scalar(f"select count(*) from {table.name} where apps_id = :apps_id", {"apps_id": apps_id}):
            step = table.name.replace("sec_", "security_")
            ctx.log.warning("%s has no rows for apps_id %d; run step %s first", table.name, apps_id, step)


def _conflict_statements(apps_id: int, rules: Sequence[Sequence[str]]) -> list[Statement]:
    for rule in rules:
        if len(rule) != 3:
            raise ValueError(f"a rule is a name and two applications, not {rule!r}; mend `rules` of security_conflicts")
    return [
        (_CONFLICTS, {"apps_id": apps_id, "rule": name, "first_object": first, "second_object": second})
        for name, first, second in rules
    ]


_EFFECTIVE = f"""
insert into sec_effective ({tables.EFFECTIVE.names})
with holders as (
    select user_id, user_id as holder, 0 as precedence
    from sec_users
    where apps_id = :apps_id
    union all
    select held.user_id, held.role_id, 1000000 - roles.sequence
    from sec_user_roles as held
    join sec_roles as roles on roles.apps_id = held.apps_id and roles.role_id = held.role_id
    where held.apps_id = :apps_id and held.active
    union all
    select user_id, '*PUBLIC', 2000000
    from sec_users
    where apps_id = :apps_id and :include_public = 1
),
ranked as (
    select
        holders.user_id, rules.object_name, rules.may_run, rules.may_install, holders.holder,
        row_number() over (partition by holders.user_id, rules.object_name order by holders.precedence) as place
    from holders
    join sec_application as rules on rules.apps_id = :apps_id and rules.user_or_role = holders.holder
)
select cast(:apps_id as INTEGER), user_id, object_name, may_run, may_install, holder
from ranked
where place = 1
"""

_CONFLICTS = f"""
insert into sec_conflicts ({tables.CONFLICTS.names})
select one.apps_id, one.user_id, cast(:rule as VARCHAR), one.object_name, other.object_name
from sec_effective as one
join sec_effective as other on other.apps_id = one.apps_id and other.user_id = one.user_id
where one.apps_id = :apps_id
    and one.object_name = :first_object and one.may_run
    and other.object_name = :second_object and other.may_run
"""
