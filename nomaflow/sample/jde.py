"""A small JD Edwards-shaped database: control tables, data dictionary and object librarian.

The shapes are JDE's: upper-case names with a two-letter prefix, codes right-justified in ten characters, dates as
CYYDDD (a century digit, the year, the day of the year) and times as HHMMSS. The contents are generated from a fixed
seed, so that every home holds the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from nomaflow.sample import jde_security
from nomaflow.sample.database import Column, Table, Value, columns

SEED = 9_200
FIRST_DAY = date(2015, 1, 1)

_PRODUCTS = {
    "00": "Foundation",
    "01": "Address Book",
    "03B": "Accounts Receivable",
    "04": "Accounts Payable",
    "09": "General Accounting",
    "12": "Fixed Assets",
    "13": "Equipment Maintenance",
    "30": "Product Data",
    "31": "Shop Floor Control",
    "40": "Distribution",
    "41": "Inventory",
    "42": "Sales Orders",
    "43": "Procurement",
    "H90": "Tools",
    "H92": "Object Librarian",
    "H95": "Security",
}

CodeList = tuple[str, str, str, Mapping[str, str]]
"""Product, list, title and codes."""

DataItem = tuple[str, str, str, str]
"""Alias, product, title and kind."""

Object = tuple[str, str, str, str]
"""Name, title, type and product."""

# Lists that everybody who has worked with JDE knows; the rest are generated.
_KNOWN_CODES: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("00", "DT"): (
        "Document Type",
        {"JE": "Journal Entry", "PV": "Voucher", "RI": "Invoice", "RC": "Receipt", "SO": "Sales Order", "OP": "Order"},
    ),
    ("00", "CN"): (
        "Country",
        {"BE": "Belgium", "CA": "Canada", "DE": "Germany", "ES": "Spain", "FR": "France", "US": "United States"},
    ),
    ("00", "UM"): ("Unit of Measure", {"EA": "Each", "BX": "Box", "KG": "Kilogram", "LT": "Litre", "MT": "Metre"}),
    ("01", "ST"): ("Search Type", {"C": "Customer", "E": "Employee", "F": "Facility", "O": "Company", "V": "Supplier"}),
    ("H92", "FU"): (
        "Object Type",
        {"APPL": "Application", "BSFN": "Business Function", "BSVW": "Business View", "TBLE": "Table", "UBE": "Report"},
    ),
    ("H95", "SE"): ("Security Type", dict(jde_security.SECURITY_TYPES)),
}

# The applications that the roles of jde_security are about.
_KNOWN_OBJECTS: Sequence[Object] = (
    ("P00950", "Security Workbench", "APPL", "H95"),
    ("P03B102", "Standard Receipts", "APPL", "03B"),
    ("P0411", "Vouchers", "APPL", "04"),
    ("P0413M", "Manual Payments", "APPL", "04"),
    ("P0911", "Journal Entries", "APPL", "09"),
    ("P4210", "Sales Orders", "APPL", "42"),
    ("P4310", "Purchase Orders", "APPL", "43"),
)

_ADJECTIVES = ("Actual", "Alternate", "Base", "Closing", "Committed", "Default", "Foreign", "Gross", "Landed", "Net",
               "Open", "Original", "Parent", "Planned", "Primary", "Requested", "Secondary", "Standard")  # fmt: skip
_NOUNS = ("Account", "Amount", "Batch", "Branch", "Carrier", "Category", "Company", "Currency", "Date", "Document",
          "Item", "Ledger", "Location", "Lot", "Order", "Period", "Quantity", "Rate", "Route", "Status", "Unit",
          "Vendor", "Warehouse", "Weight")  # fmt: skip

_NUMBER, _TEXT, _DATE = "9", "2", "11"
_OBJECT_TYPES = {"APPL": "P", "BSFN": "B", "BSVW": "V", "TBLE": "F", "UBE": "R"}
_AUDIT = ",USER TEXT,PID TEXT,JOBN TEXT,UPMJ INTEGER,UPMT INTEGER"


def tables() -> Iterator[Table]:
    """Every table of the database."""
    chance = random.Random(SEED)
    yield from _code_tables(chance, list(_code_lists(chance)))
    items = list(_data_items())
    yield from _dictionary_tables(chance, items)
    objects = list(_objects(chance))
    yield from _librarian_tables(chance, objects)
    applications = [object_[0] for object_ in objects if object_[2] == "APPL" and object_ not in _KNOWN_OBJECTS]
    yield from jde_security.tables(chance, applications, [alias for alias, *_ in items])


def _code_tables(chance: random.Random, lists: Sequence[CodeList]) -> Iterator[Table]:
    """User defined codes: the lists and their values."""
    yield Table(
        "F0004",
        _columns("DT", "SY TEXT,RT TEXT,DL01 TEXT,CDL INTEGER,LN2 TEXT,CNUM TEXT"),
        ("DTSY", "DTRT"),
        [(product, list_, title, 10, "N", "N", *_audit(chance)) for product, list_, title, _ in lists],
    )
    yield Table(
        "F0005",
        _columns("DR", "SY TEXT,RT TEXT,KY TEXT,DL01 TEXT,DL02 TEXT,SPHD TEXT,HRDC TEXT"),
        ("DRSY", "DRRT", "DRKY"),
        [
            (product, list_, code.rjust(10), text, None, None, "Y" if product[0] == "H" else "N", *_audit(chance))
            for product, list_, _, codes in lists
            for code, text in codes.items()
        ],
    )


def _dictionary_tables(chance: random.Random, items: Sequence[DataItem]) -> Iterator[Table]:
    """The data dictionary: the items, their texts in two languages, their specifications."""
    yield Table(
        "F9200",
        _columns("FR", "DTAI TEXT,SY TEXT,GG TEXT"),
        ("FRDTAI",),
        [(alias, product, "D", *_audit(chance)) for alias, product, _, _ in items],
    )
    yield Table(
        "F9202",
        _columns("FR", "DTAI TEXT,LNGP TEXT,SYR TEXT,DSCR TEXT,CH1 TEXT,CH2 TEXT"),
        ("FRDTAI", "FRLNGP"),
        [
            (alias, language, None, title, *title.split(), *_audit(chance))
            for alias, _, title, _ in items
            for language in ("", "F")
        ],
    )
    yield Table(
        "F9210",
        _columns("FR", "DTAI TEXT,CLAS TEXT,DTAT TEXT,DTAS INTEGER,DTAD INTEGER,CDEC INTEGER,OWER TEXT,LR TEXT"),
        ("FRDTAI",),
        [(alias, *_specification(kind), *_audit(chance)) for alias, _, _, kind in items],
    )


def _librarian_tables(chance: random.Random, objects: Sequence[Object]) -> Iterator[Table]:
    """The object librarian: the objects, and the forms of the applications among them."""
    yield Table(
        "F9860",
        _columns("SI", "OBNM TEXT,MD TEXT,FUNO TEXT,SY TEXT"),
        ("SIOBNM",),
        [(*object_, *_audit(chance)) for object_ in objects],
    )
    yield Table(
        "F9865",
        _columns("SW", "FMNM TEXT,MD TEXT,OBNM TEXT,ENTRYPT TEXT"),
        ("SWFMNM",),
        [
            (f"W{name[1:]}{letter}", f"{verb} {title}", name, "Y" if letter == "A" else "N", *_audit(chance))
            for name, title, type_, _ in objects
            if type_ == "APPL"
            for letter, verb in (("A", "Work With"), ("B", "Revise"), ("C", "Review"))
        ],
    )


def _columns(prefix: str, text: str) -> tuple[Column, ...]:
    """The columns of a table, the audit columns last; JDE puts the table's prefix before every name."""
    return tuple(replace(column, name=prefix + column.name) for column in columns(text + _AUDIT))


def julian(day: date) -> int:
    """The day as CYYDDD: 115001 is 2015-01-01."""
    return (day.year - 1900) * 1000 + day.timetuple().tm_yday


def _audit(chance: random.Random) -> tuple[Value, ...]:
    """Who changed the row last, with what program, where and when."""
    day = FIRST_DAY + timedelta(days=chance.randrange(3_650))
    time = chance.randrange(24) * 10_000 + chance.randrange(60) * 100 + chance.randrange(60)
    return chance.choice(("JDE", "CNCADMIN", "CONV")), "P0004A", f"ENT{chance.randrange(4)}", julian(day), time


def _code_lists(chance: random.Random) -> Iterator[CodeList]:
    """Every user defined code list."""
    for (product, list_), (title, codes) in _KNOWN_CODES.items():
        yield product, list_, title, codes
    for product, product_title in _PRODUCTS.items():
        for number in range(1, 13):
            noun = _NOUNS[number]
            codes = {
                f"{noun[:2].upper()}{code}": f"{adjective} {noun}"
                for code, adjective in enumerate(chance.sample(_ADJECTIVES, chance.randint(6, len(_ADJECTIVES))), 1)
            }
            yield product, f"{number:02}", f"{product_title}: {noun} Code {number}", codes


def _data_items() -> Iterator[DataItem]:
    """Every data item."""
    products = list(_PRODUCTS)
    for number, (adjective, noun) in enumerate((a, n) for a in _ADJECTIVES for n in _NOUNS):
        kind = _DATE if noun == "Date" else _NUMBER if noun in ("Amount", "Quantity", "Rate", "Weight") else _TEXT
        # Two letters of each word are not unique; the number makes them so.
        alias = f"{adjective[:1]}{noun[:2]}{number:03}".upper()
        yield alias, products[number % len(products)], f"{adjective} {noun}", kind


def _specification(kind: str) -> tuple[Value, ...]:
    """Class, type, size, display decimals, stored decimals, edit rule and justification of a data item."""
    if kind == _DATE:
        return "DATEW", kind, 6, 0, 0, "DATE", "R"
    if kind == _NUMBER:
        return "CURRENCY", kind, 15, 2, 2, None, "R"
    return "GENERIC", kind, 30, 0, 0, "UDC", "L"


def _objects(chance: random.Random) -> Iterator[Object]:
    """Every object."""
    yield from _KNOWN_OBJECTS
    for product in _PRODUCTS:
        for number in range(50):
            type_ = chance.choice(list(_OBJECT_TYPES))
            title = f"{chance.choice(_ADJECTIVES)} {chance.choice(_NOUNS)}"
            yield f"{_OBJECT_TYPES[type_]}{product}{number + 10:03}", title, type_, product
