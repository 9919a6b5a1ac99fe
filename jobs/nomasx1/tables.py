"""The security tables of nomasx1, and where in JDE their rows come from.

JDE pads its texts with blanks and writes yes and no as Y and N; here texts are trimmed and flags are BOOLEAN.
"""

from __future__ import annotations

from nomasx1.refresh import Column, Table


def _text(name: str, jde: str) -> Column:
    return Column(name, "VARCHAR", f"trim({jde})")


def _flag(name: str, jde: str) -> Column:
    return Column(name, "BOOLEAN", f"{jde} = 'Y'")


# F0092 holds people and roles; a role is a member of *GROUP.
USERS = Table(
    "sec_users",
    (
        _text("user_id", "ULUSER"),
        _text("main_role", "ULUGRP"),
        Column("address_number", "INTEGER", "ULAN8"),
        _flag("fast_path", "ULFSTP"),
    ),
    "F0092 where ULUGRP <> '*GROUP'",
)
ROLES = Table(
    "sec_roles",
    (_text("role_id", "ANUSER"), _text("description", "ANROLEDESC"), Column("sequence", "INTEGER", "ANSEQ")),
    "F00926",
)

_HELD = "RLEFFDATE <= :as_of and (coalesce(RLEXPIRDATE, 0) = 0 or RLEXPIRDATE >= :as_of)"
USER_ROLES = Table(
    "sec_user_roles",
    (
        _text("user_id", "RLTOROLE"),
        _text("role_id", "RLFRROLE"),
        Column("effective_date", "DATE", "RLEFFDATE"),
        Column("expiration_date", "DATE", "RLEXPIRDATE"),
        Column("active", "BOOLEAN", f"({_HELD})"),
    ),
    f"F95921 where :include_expired = 1 or ({_HELD})",
)
SIGN_ON = Table(
    "sec_sign_on",
    (
        _text("user_id", "SCUSER"),
        _text("proxy_user", "SCSECUSR"),
        Column("enabled", "BOOLEAN", "SCEUSER = '01'"),
        Column("password_changed_date", "DATE", "SCSECLST"),
        Column("password_overdue", "BOOLEAN", "SCSECLST < :oldest"),
        Column("failed_attempts", "INTEGER", "SCSECNATT"),
    ),
    "F98OWSEC",
)
ENVIRONMENTS = Table(
    "sec_environments",
    (
        _text("user_or_role", "LLUSER"),
        Column("sequence", "INTEGER", "LLSEQ"),
        _text("environment", "LLLL"),
    ),
    "F0093",
)
OBJECTS = Table(
    "sec_objects",
    (
        _text("object_name", "SIOBNM"),
        _text("title", "SIMD"),
        _text("object_type", "SIFUNO"),
        _text("product_code", "SISY"),
    ),
    "F9860 where SIOBNM in (select FSOBNM from F00950)",
)


def _rules(name: str, security_type: str, *columns: Column) -> Table:
    """The rules of one kind, all of which are in F00950: for whom, about which object, then what the kind has."""
    for_whom = (_text("user_or_role", "FSUSER"), _text("object_name", "FSOBNM"))
    return Table(name, for_whom + columns, f"F00950 where FSSETY = '{security_type}'")


_MAY_VIEW = _flag("may_view", "FSVIEW")
_MAY_ADD = _flag("may_add", "FSADD")
_MAY_CHANGE = _flag("may_change", "FSCHNG")
_MAY_DELETE = _flag("may_delete", "FSDLT")
_MAY_RUN = _flag("may_run", "FSRUN")
_DATA_ITEM = _text("data_item", "FSDTAI")
_FORM = _text("form_name", "FSFMNM")

ACTION = _rules("sec_action", "1", _MAY_ADD, _MAY_CHANGE, _MAY_DELETE, _flag("may_copy", "FSCPY"))
COLUMN = _rules("sec_column", "2", _DATA_ITEM, _MAY_VIEW, _MAY_ADD, _MAY_CHANGE)
APPLICATION = _rules("sec_application", "3", _MAY_RUN, _flag("may_install", "FSINST"))
ROW = _rules(
    "sec_row", "4", _DATA_ITEM, _text("from_value", "FSFRDV"), _text("thru_value", "FSTHDV"),
    _MAY_VIEW, _MAY_ADD, _MAY_CHANGE, _MAY_DELETE,
)  # fmt: skip
PROCESSING_OPTIONS = _rules("sec_processing_options", "5", _text("version", "FSVERS"), _MAY_CHANGE)
TAB = _rules("sec_tab", "6", _FORM, _text("tab", "FSFRDV"), _MAY_VIEW, _MAY_CHANGE)
HYPER_EXITS = _rules("sec_hyper_exits", "7", _FORM, _text("exit_number", "FSFRDV"), _MAY_RUN)
EXCLUSIVE = _rules("sec_exclusive", "8", _MAY_RUN)
EXTERNAL_CALLS = _rules("sec_external_calls", "9", _MAY_RUN)

# Worked out from the tables above; JDE has nothing like them.
EFFECTIVE = Table(
    "sec_effective",
    (
        Column("user_id", "VARCHAR"),
        Column("object_name", "VARCHAR"),
        Column("may_run", "BOOLEAN"),
        Column("may_install", "BOOLEAN"),
        Column("decided_by", "VARCHAR"),
    ),
)
CONFLICTS = Table(
    "sec_conflicts",
    (
        Column("user_id", "VARCHAR"),
        Column("rule", "VARCHAR"),
        Column("first_object", "VARCHAR"),
        Column("second_object", "VARCHAR"),
    ),
)
