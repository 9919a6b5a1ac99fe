"""What may lie in a jobs folder and is no job: refused with a sentence and its place, alone, and in no time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nomaflow.definitions.catalogue import Catalogue

STEP = '[[steps]]\nname = "A"\ntype = "python"\ncallable = "hello:main"\n'
GOOD = f'description = "Good."\n{STEP}'

TOO_MANY = "has more than 5,000 keys, tables and list items"

BAD_TEXTS: dict[str, tuple[bytes, str, int | None]] = {
    # what it is: (bytes, part of the message, line)
    "nothing": (b"", "steps is required", None),
    "too large": (GOOD.encode() + b"# " + b"x" * 262_144, "is larger than 256 KiB", None),
    "not UTF-8": (b'\ndescription = "\xff"\n' + STEP.encode(), "is not UTF-8: byte 0xff", 2),
    "UTF-16": (GOOD.encode("utf-16"), "is not UTF-8", 1),
    "NUL": (b'description = "\0"\n' + STEP.encode(), "is not valid TOML", 1),
    "half a surrogate pair": (b'description = "\\ud800"\n' + STEP.encode(), "is not valid TOML", 1),
    "a bare word": (
        b'\n\ndescription = "x"\nenabled = yes\n' + STEP.encode(),
        "is not valid TOML: write true instead of yes at column 11",
        4,
    ),
    "cut off": (b'description = "x', "is not valid TOML: the quote at column 15 is not closed", 1),
    "an open quote": (b'\ndescription = "x\n' + STEP.encode(), "the quote at column 15 is not closed", 2),
    "an open long quote": (b'\nx = """a\n' + STEP.encode(), "the quote at column 5 is not closed", 2),
    "an open list": (b"\ntags = [\n  1\nenabled = true\n", "the list that begins at column 8 is not closed", 2),
    "an open header": (b"[params\nx = 1\n", "the header in brackets is not closed; ] is missing at column 8", 1),
    "a table on two lines": (b"x = { a = 1,\nb = 2 }\n", "must be closed with } on the same line", 1),
    "a colon": (b"enabled: true\n", "write = instead of the colon at column 8", 1),
    "text without quotes": (b"description = Hello\n", "'Hello' at column 15 is no value; text must be in quotes", 1),
    "no value": (b"description =\n", "a value is missing at column 14", 1),
    "doubled key": (b"enabled = true\nenabled = true\n" + STEP.encode(), "is not valid TOML", 2),
    "doubled table": (b"[params]\n[params]\n" + STEP.encode(), "is not valid TOML", 2),
    "deep arrays": (b"tags = " + b"[" * 5000 + b"]" * 5000, "has more than 32 brackets within each other", 1),
    "deep inline tables": (b"a = " + b"{a = " * 60 + b"1" + b"}" * 60, "has more than 32 brackets", 1),
    "an endless dotted key": (b"\na" + b".a" * 20_000 + b" = 1\n", "has a key of more than 16 parts", 2),
    "an endless dotted table": (b"[a" + b'."a"' * 20_000 + b"]\n", "has a key of more than 16 parts", 1),
    "4,000 digits": (b"[params]\nn = " + b"9" * 4000 + b"\n" + STEP.encode(), "must lie within ±2⁵³", 2),
    "5,000 digits": (b"[params]\nn = " + b"9" * 5000 + b"\n" + STEP.encode(), "is not valid TOML", None),
    "not a number": (b"[params]\nn = nan\n" + STEP.encode(), "must be a finite number", 2),
    "infinity in a list": (b"[params]\nn = [1, inf]\n" + STEP.encode(), "params.n[1] must be a finite number", 2),
    "enabled as text": (b'enabled = "true"\n' + STEP.encode(), "enabled must be true or false, without quotes", 1),
    "enabled as a number": (b"enabled = 1\n" + STEP.encode(), "enabled must be true or false, without quotes", 1),
    "enabled below a table": (
        b"[params]\n" + STEP.encode() + b"[alerts]\nenabled = false\n",
        "alerts.enabled is not a known key",
        7,
    ),
    "unknown key": (b'desciption = "x"\n' + STEP.encode(), 'is not a known key; did you mean "description"?', 1),
    "its id": (b'id = "other"\n' + STEP.encode(), "id is not a key of the file", 1),
    "no steps": (b'description = "x"\n', "steps is required", None),
    "empty steps": (b"steps = []\n", "steps must not be empty", 1),
    "two steps of one name": (
        STEP.encode() * 2,
        "steps.A.name is 'A', as an earlier one's is; give each its own name",
        6,
    ),
    "a step named __": (STEP.replace('"A"', '"__"').encode(), "must be 1 to 64 of A-Z, a-z, 0-9, `_` and `-`", 2),
    "two of one name and more": (STEP.encode() * 2 + b"x = 1\n", "steps.A.name is 'A', as an earlier one's is", 6),
    "another scheduler's word": (
        b'[[steps]]\nname = "A"\ntype = "shell"\ncommand = "x"\n',
        'steps.A.command is not a known key; did you mean "argv"?',
        4,
    ),
    "a step without its key": (b'\n[[steps]]\nname = "A"\ntype = "shell"\n', "steps.A.argv is required", 2),
    "a step without its type": (
        b'[[steps]]\nname = "A"\n',
        "steps.A.type is required: one of 'backup', 'call_job', 'http', 'ldap_sync', 'python'",
        1,
    ),
    "a callable without its module": (
        STEP.replace("hello:main", "say_hello").encode(),
        "steps.A.callable must be module:function, for example hello:say_hello",
        4,
    ),
    "a schedule without a needed value": (
        b'[params]\nn = { type = "int", required = true }\n[[schedules]]\nname = "x"\ncron = "@daily"\n'
        + STEP.encode(),
        "schedules.x has no value for the required parameter 'n'",
        3,
    ),
    "unknown step type": (b'[[steps]]\nname = "A"\ntype = "sqlcopy"\n', 'did you mean "sql_copy"?', 3),
    "a step's unknown key": (STEP.encode() + b"timout_seconds = 3\n", "steps.A.timout_seconds is not a known key", 5),
    "a step's bad value": (STEP.encode() + b'timeout_seconds = "3"\n', "steps.A.timeout_seconds must be a number", 5),
    "a nameless step": (b'[[steps]]\ntype = "python"\ncallable = "a:b"\n', "steps[0].name is required", 1),
    "a key in braces": (
        b'[[steps]]\nname = "A"\ntype = "sql_copy"\ntarget = { connector = "a", table = "b" }\n'
        b'source = { connector = "a", tabel = "b" }\n',
        'steps.A.source.tabel is not a known key; did you mean "table"?',
        5,
    ),
    "a table before its fields": (
        STEP.encode() + b'[params.day]\n\ntype = "date"\ndefault = "soon"\n',
        "params.day has a `default` that must be a date",
        5,
    ),
    "a path as a time zone": (
        b'[schedule]\ncron = "0 0 * * *"\ntimezone = "../../etc/passwd"\n' + STEP.encode(),
        "schedule.timezone names an unknown time zone",
        3,
    ),
    "a very long time zone": (
        b'[[schedules]]\ncron = "0 0 * * *"\ntimezone = "' + b"x" * 10_000 + b'"\n' + STEP.encode(),
        "names an unknown time zone",
        3,
    ),
    "a cron that never fires": (b'[schedule]\ncron = "0 0 31 2 *"\n' + STEP.encode(), "never fires", 2),
    "201 steps": (b"".join(STEP.replace('"A"', f'"A{n}"').encode() for n in range(201)), "at most 200 items", 1),
    "4,990 unknown keys": (b"".join(b"k%d=1\n" % n for n in range(4_990)), "k0 is not a known key", 1),
    "20,000 unknown keys": (b"".join(b"k%d=1\n" % n for n in range(20_000)), TOO_MANY, 5_001),
    "9,000 dotted keys": (b"".join(b"a.b.c.d.e.f.g.h.i.j%d=1\n" % n for n in range(9_000)), TOO_MANY, 501),
    "490 dotted keys": (b"".join(b"a.b.c.d.e.f.g.h.i.j%d=1\n" % n for n in range(490)), "a is not a known key", 1),
    "120,000 tags": (b"\ntags=[" + b"1," * 120_000 + b"]\n" + STEP.encode(), TOO_MANY, 2),
    "24,000 steps": (b"[[steps]]\n" * 24_000, TOO_MANY, 5_001),
    "18,000 schedules": (b"[[schedules]]\n" * 18_000, TOO_MANY, 5_001),
    "25,000 parameters": (b"[params]\n" + b"".join(b"k%d=1\n" % n for n in range(25_000)), TOO_MANY, 5_001),
    "5,000 tables of 16 parts": (b"".join(b"[a%d%s]\n" % (n, b".b" * 15) for n in range(4_000)), TOO_MANY, 313),
    "escaped quotes, none closed": (b'x="' + b'\\"' * 120_000, "the quote at column 3 is not closed", 1),
    "escaped long quotes, none closed": (b'x="""' + b'\\"""' * 60_000, "the quote at column 3 is not closed", 1),
    "1,500 values that no parameter takes": (
        b"".join(
            b'[[schedules]]\nname="s%d"\ncron="@daily"\nparams={%s}\n'
            % (n, b",".join(b"%s%d=1" % (b"k" * 60, key) for key in range(50)))
            for n in range(30)
        )
        + b"[params]\n"
        + b"".join(b"%s%d=1\n" % (b"k" * 59, 1000 + n) for n in range(200))
        + STEP.encode(),
        "is an unknown parameter",
        4,
    ),
}


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_a_bad_text_is_told_with_its_line_and_hides_no_other(tmp_path: Path, what: str) -> None:
    """Whatever a file holds, the answer is sentences with a line, quickly, and the job beside it is there."""
    raw, message, line = BAD_TEXTS[what]
    (tmp_path / "bad.toml").write_bytes(raw)
    (tmp_path / "good.toml").write_text(GOOD)
    begun = time.process_time()
    catalogue = Catalogue(tmp_path)
    assert time.process_time() - begun < 1
    bad = catalogue.entry("bad")
    assert bad.job is None
    problem = next((problem for problem in bad.problems if message in str(problem)), None)
    assert problem, bad.problems
    assert problem.file == f"{tmp_path.name}/bad.toml"
    assert problem.line == line
    assert len(bad.problems) <= 100
    assert catalogue.entry("good").job


@pytest.mark.parametrize("text", ["[params]\nn = 1e400\n", 'description = "a\\u0000b"\n', "x = 1979-05-27T07:32:60Z\n"])
def test_odd_values_are_no_crash(tmp_path: Path, text: str) -> None:
    """What TOML takes and the record may not is a problem like any other."""
    (tmp_path / "odd.toml").write_text(text + STEP)
    Catalogue(tmp_path)


@pytest.mark.parametrize("stem", ["Upper", "a b", "x.y", "-x", "_x", "é", "a" * 65, "a\u202eb", "😀", "con\u200b"])
def test_a_name_that_is_no_job_id_is_told(tmp_path: Path, stem: str) -> None:
    """The file is listed with its problem, so that nobody wonders where the job is."""
    (tmp_path / f"{stem}.toml").write_text(GOOD)
    [entry] = Catalogue(tmp_path).entries.values()
    assert entry.job is None
    assert "is no job id" in entry.problems[0].message


def test_a_name_of_bytes_that_are_no_text_is_told(tmp_path: Path) -> None:
    """Its id can still be sent as JSON."""
    (tmp_path / os.fsdecode(b"\xff.toml")).write_text(GOOD)
    [entry] = Catalogue(tmp_path).entries.values()
    assert entry.problems
    entry.job_id.encode()


def test_only_files_ending_in_toml_are_jobs(tmp_path: Path) -> None:
    """Python, notes, hidden and temporary files are nobody's job."""
    for name in ("hello.py", "notes.txt", ".hidden.toml", ".good.toml.a1b2", "good.toml~", "good.toml.bak"):
        (tmp_path / name).write_text("nonsense")
    assert not Catalogue(tmp_path).entries
    assert not Catalogue(tmp_path / "missing").entries


def _symlink(path: Path) -> None:
    target = path.with_suffix(".txt")
    target.write_text(GOOD)
    path.symlink_to(target)


def _writable_by_all(path: Path) -> None:
    path.write_text(GOOD)
    path.chmod(0o666)


UNSAFE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a FIFO": (os.mkfifo, "is no regular file"),
    "a folder": (Path.mkdir, "is no regular file"),
    "a link": (_symlink, "is a symbolic link"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "is a symbolic link"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a symbolic link"),
    "writable by all": (_writable_by_all, "chmod o-w"),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_is_not_a_safe_file_is_not_read(tmp_path: Path, what: str) -> None:
    """A FIFO would block the reader for ever, a link leads out of the folder, anybody's file is anybody's code."""
    make, message = UNSAFE[what]
    make(tmp_path / "bad.toml")
    (tmp_path / "good.toml").write_text(GOOD)
    catalogue = Catalogue(tmp_path)
    assert message in catalogue.entry("bad").problems[0].message
    assert catalogue.entry("good").job


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    """A folder's owner may keep jobs in it; somebody else may not."""
    path = tmp_path / "bad.toml"
    path.write_text(GOOD)
    os.chown(path, 12345, 12345)
    assert "belongs to another user" in Catalogue(tmp_path).entry("bad").problems[0].message
    os.chown(tmp_path, 12345, 12345)
    assert Catalogue(tmp_path).entry("bad").job


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    """Editors on Windows put one there."""
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    entry = Catalogue(tmp_path).entry("marked")
    assert entry.job
    assert entry.text.startswith("\ufeff")
