"""The security tables of the JDE-shaped database: who may sign on, which roles people hold, what the roles may do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from nomaflow.sample.database import Table, Value, columns

if TYPE_CHECKING:
    import random

USER_COUNT = 240
RULES_PER_TYPE = 300

SECURITY_TYPES = {
    "1": "Action",
    "2": "Column",
    "3": "Application",
    "4": "Row",
    "5": "Processing Option",
    "6": "Tab",
    "7": "Hyper Exit",
    "8": "Exclusive Application",
    "9": "External Call",
}

_ROLES = ("APCLERK", "APMANAGER", "ARCLERK", "ARMANAGER", "AUDITOR", "BUYER", "CNCADMIN", "CONTROLLER", "CREDIT",
          "DEVELOPER", "FAACCOUNT", "GLACCOUNT", "HELPDESK", "INVENTORY", "MAINTAIN", "PAYROLL", "PLANNER",
          "PRODUCTION", "PURCHASE", "RECEIVING", "SALESREP", "SECADMIN", "SHIPPING", "TREASURY")  # fmt: skip
# These may be run by the role alone, so that who holds two of the roles may run both.
_APPLICATIONS = {
    "APCLERK": "P0411",
    "ARCLERK": "P03B102",
    "BUYER": "P4310",
    "GLACCOUNT": "P0911",
    "SALESREP": "P4210",
    "SECADMIN": "P00950",
    "TREASURY": "P0413M",
}
_FIRST = ("ADA", "ANA", "BEN", "CLARA", "DAN", "ELSA", "FINN", "GRETA", "HUGO", "INES", "JULES", "KARL", "LEA", "MAX",
          "NINA", "OTTO", "PAUL", "ROSA", "SAM", "TESS")  # fmt: skip
_LAST = ("ARNAUD", "BERG", "COSTA", "DUBOIS", "EVANS", "FABRE", "GRANT", "HALL", "IBSEN", "JANSEN", "KELLER", "LOPEZ")
_ENVIRONMENTS = ("JDV920", "JPY920", "JPD920")
_PROGRAMS = ("CALC.EXE", "EXCEL.EXE", "NOTEPAD.EXE", "OWMENU.EXE", "WINWORD.EXE")


def tables(chance: random.Random, applications: Sequence[str], data_items: Sequence[str]) -> Iterator[Table]:
    """Every security table. Besides those on `_APPLICATIONS`, the rules are about these applications and data items."""
    users = [f"{first}{last[0]}" + str(number) for number, (first, last) in enumerate(_people(), 100)]
    yield Table(
        "F0092",
        columns("ULUSER TEXT,ULUGRP TEXT,ULAN8 INTEGER,ULFSTP TEXT"),
        ("ULUSER",),
        [(role, "*GROUP", None, "N") for role in _ROLES]
        + [(user, chance.choice(_ROLES), 6000 + number, chance.choice("YN")) for number, user in enumerate(users)],
    )
    yield Table(
        "F00926",
        columns("ANUSER TEXT,ANROLEDESC TEXT,ANSEQ INTEGER"),
        ("ANUSER",),
        [(role, f"{role.title()} role", 10 * number) for number, role in enumerate(_ROLES, 1)],
    )
    yield Table(
        "F95921",
        columns("RLFRROLE TEXT,RLTOROLE TEXT,RLEFFDATE INTEGER,RLEXPIRDATE INTEGER"),
        ("RLFRROLE", "RLTOROLE"),
        [(role, user, *_period(chance)) for user in users for role in chance.sample(_ROLES, chance.randint(1, 4))],
    )
    yield Table(
        "F98OWSEC",
        columns("SCUSER TEXT,SCSECUSR TEXT,SCEUSER TEXT,SCSECFRQ INTEGER,SCSECLST INTEGER,SCSECNATT INTEGER"),
        ("SCUSER",),
        [
            (
                user,
                "JDEPROXY",
                "02" if chance.random() < 0.1 else "01",
                90,
                _day(chance, 2024, 700),
                chance.randrange(4),
            )
            for user in users
        ],
    )
    yield Table(
        "F0093",
        columns("LLUSER TEXT,LLSEQ INTEGER,LLLL TEXT"),
        ("LLUSER", "LLSEQ"),
        [
            (who, number, environment)
            for who in (*_ROLES, *users)
            for number, environment in enumerate(chance.sample(_ENVIRONMENTS, chance.randint(1, 3)), 1)
        ],
    )
    yield Table(
        "F00950",
        columns(
            "FSSETY TEXT,FSUSER TEXT,FSOBNM TEXT,FSVERS TEXT,FSFMNM TEXT,FSDTAI TEXT,FSFRDV TEXT,FSTHDV TEXT,"
            "FSVIEW TEXT,FSADD TEXT,FSCHNG TEXT,FSDLT TEXT,FSCPY TEXT,FSRUN TEXT,FSINST TEXT"
        ),
        (),
        list(_rules(chance, ("*PUBLIC", *_ROLES, *users[:40]), applications, data_items)),
    )


def _people() -> list[tuple[str, str]]:
    return [(first, last) for last in _LAST for first in _FIRST][:USER_COUNT]


def _day(chance: random.Random, year: int, spread_days: int) -> int:
    day = date(year, 1, 1) + timedelta(days=chance.randrange(spread_days))
    return (day.year - 1900) * 1000 + day.timetuple().tm_yday


def _period(chance: random.Random) -> tuple[int, int | None]:
    """From when and until when a role is held; one in five has an end."""
    return _day(chance, 2018, 2_000), _day(chance, 2024, 2_500) if chance.random() < 0.2 else None


def _rules(
    chance: random.Random, holders: Sequence[str], applications: Sequence[str], data_items: Sequence[str]
) -> Iterator[tuple[Value, ...]]:
    for type_ in SECURITY_TYPES:
        seen: set[tuple[Value, ...]] = set()
        while len(seen) < RULES_PER_TYPE:
            rule = (type_, chance.choice(holders), *_about(chance, type_, applications, data_items))
            if rule not in seen:
                seen.add(rule)
                yield *rule, *(chance.choice("YN") for _ in range(7))
    for role, application in _APPLICATIONS.items():
        for holder, may_run in (("*PUBLIC", "N"), (role, "Y")):
            yield "3", holder, application, *[None] * 5, *"NNNNN", may_run, "N"


def _about(
    chance: random.Random, type_: str, applications: Sequence[str], data_items: Sequence[str]
) -> tuple[Value, ...]:
    """Object, version, form, data item, from and thru of a rule, as far as its type has them."""
    application = chance.choice(applications)
    if type_ == "2":
        return application, None, None, chance.choice(data_items), None, None
    if type_ == "4":
        first = chance.randrange(1, 90) * 100
        return "F" + application[1:], None, None, chance.choice(data_items), f"{first:05}", f"{first + 99:05}"
    if type_ == "5":
        return application, f"ZJDE{chance.randrange(1, 10):04}", None, None, None, None
    if type_ in ("6", "7"):
        return application, None, f"W{application[1:]}{chance.choice('ABC')}", None, str(chance.randrange(1, 9)), None
    if type_ == "9":
        return chance.choice(_PROGRAMS), None, None, None, None, None
    return application, None, None, None, None, None
