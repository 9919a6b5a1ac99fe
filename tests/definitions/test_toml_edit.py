"""Edits change what they are asked to and leave every other byte as it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from nomaflow.definitions import toml_edit
from nomaflow.definitions.catalogue import parse, text_of
from nomaflow.definitions.toml_source import MAX_VALUES
from nomaflow.errors import InvalidError

STEP = '[[steps]]\nname = "A"\ntype = "python"\ncallable = "hello:main"\n'

_comments = st.sampled_from(["", "  # yes", "\t#no = true", " # enabled = true", "#“ü”"])
_blanks = st.sampled_from(["", "\n", "# enabled = true\n", "\n# a note\n\n", "   \n\t\n"])
_keys = st.sampled_from(
    [
        'description = "x"',
        "description   =\t'''\nenabled = true\n'''",
        '"log_level" = "DEBUG"',
        'tags = [ "a", # one\n  "b" ,\n]',
        'overlap="skip"',
        "retry.attempts = 2",
        "locks = []",
    ]
)
_enabled = st.sampled_from(
    ["enabled = true", "enabled=true", '"enabled"  =  true', "\tenabled = true", "'enabled'\t= true"]
)
_tables = st.sampled_from(
    [
        "",
        "[params]\nx = 1\n",
        "  [params]\n  enabled = true\n",
        "[params]\n[params.enabled]\ntype = 'bool'\n\tdefault = true\n",
    ]
)
_ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def _jobs(draw: st.DrawFn, *, with_enabled: bool) -> str:
    keys = draw(st.lists(_keys, unique_by=lambda key: key.split("=")[0].split(".")[0].strip(' \t"'), max_size=4))
    if with_enabled:
        keys.insert(draw(st.integers(0, len(keys))), draw(_enabled))
    text = draw(_blanks)
    for key in keys:
        text += key + draw(_comments) + "\n" + draw(_blanks)
    text += draw(_tables) + draw(_blanks) + STEP
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    text = text.replace("\n", draw(_ends))
    return draw(st.sampled_from(["", "\ufeff"])) + text


@given(_jobs(with_enabled=True))
def test_a_toggle_changes_one_token(text: str) -> None:
    """Before and behind the token stands what stood there, and the way back gives the old text."""
    assert parse("x", text, "x.toml")[0], parse("x", text, "x.toml")
    off = toml_edit.set_enabled(text, False)
    place = next(at for at, (old, new) in enumerate(zip(text, off, strict=False)) if old != new)
    assert text[:place] + "false" + text[place + len("true") :] == off
    assert toml_edit.set_enabled(off, True) == text
    assert toml_edit.set_enabled(text, True) == text


@given(_jobs(with_enabled=False))
def test_a_toggle_without_the_key_adds_one_line(text: str) -> None:
    """One line of our own, no blank one with it, in the file's line ends."""
    job = parse("x", text, "x.toml")[0]
    assert job
    off = toml_edit.set_enabled(text, False)
    assert toml_edit.set_enabled(text, True) == text
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"enabled = false{end}"
    assert any(off[:at] + off[at + len(line) :] == text for at in range(len(off)) if off[at:].startswith(line))
    changed = parse("x", off, "x.toml")[0]
    assert changed == job.model_copy(update={"enabled": False})
    assert toml_edit.set_enabled(off, True) == off.replace(line, f"enabled = true{end}", 1)


def test_the_new_line_stands_below_the_first_key() -> None:
    """Where one looks for it, and never inside a table."""
    text = '# Nightly.\ndescription = "x"  # why\n\n[params]\nn = 1\n'
    assert toml_edit.set_enabled(text, False) == (
        '# Nightly.\ndescription = "x"  # why\nenabled = false\n\n[params]\nn = 1\n'
    )
    assert toml_edit.set_enabled("[params]\nn = 1\n", False) == "enabled = false\n[params]\nn = 1\n"
    assert toml_edit.set_enabled('description = "x"', False) == 'description = "x"\nenabled = false\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[accounts.ana]\nrole = "admin"\n', '[accounts.ana]\nrole = "admin"\npassword_hash = "$h"\n'),
        (
            '[accounts.ana]\nrole = "admin"\npassword_hash = "old" # mine\n[slack]\n',
            '[accounts.ana]\nrole = "admin"\npassword_hash = "$h" # mine\n[slack]\n',
        ),
        ('# all\r\n[slack]\r\nmode = "http" # x\r\n', None),
        ("", None),
        ('[accounts]\nbea = { role = "viewer" }\n', None),
        ('[accounts.bea]\nrole = "viewer"\n\n[slack]\n# none\n', None),
    ],
)
def test_a_text_is_set_and_all_else_stays(text: str, expected: str | None) -> None:
    """The other lines stay, in their order and with their line ends; a missing table is added."""
    changed = toml_edit.set_text(text, ("accounts", "ana", "password_hash"), "$h")
    if expected is not None:
        assert changed == expected
    assert tomllib.loads(changed)["accounts"]["ana"]["password_hash"] == "$h"
    assert [line for line in changed.splitlines(keepends=True) if line in text.splitlines(keepends=True)] == (
        [line for line in text.splitlines(keepends=True) if "old" not in line]
    )
    assert "\r\n" not in text or "\n" not in changed.replace("\r\n", "")


def test_values_become_a_job_that_reads_well() -> None:
    """A job given as JSON: tables under headers, small ones in braces, nulls left out."""
    values: dict[str, JsonValue] = {
        "id": "x",
        "params": {"n": 1, "day": {"type": "date", "default": "${today}"}},
        "description": "Copy.",
        "alerts": None,
        "schedules": [{"cron": "0 2 * * *"}],
        "steps": [
            {
                "name": "A",
                "type": "sql_copy",
                "source": {"connector": "a", "schema": None, "table": "t"},
                "target": {"connector": "b", "table": "t"},
            },
            {"name": "B", "type": "python", "callable": "a:b", "op_kwargs": {"full": True}},
            {"name": "C", "type": "sql_query", "connector": "a", "query": "select 1\nfrom x"},
        ],
    }
    text = toml_edit.job_text(values)
    job, problems = parse("x", text, "x.toml")
    assert not problems
    assert job
    assert job.params["n"].default == 1
    assert job.params["day"].type == "date"
    assert [step.name for step in job.steps] == ["A", "B", "C"]
    assert 'source = {connector = "a", table = "t"}' in text
    assert "[steps.op_kwargs]" in text
    assert text.startswith('description = "Copy."\n')


_words = st.sampled_from(["params", "op_kwargs", "steps", "a", "b c", 'q"', "x.y", "", "é"]) | st.text(
    st.characters(codec="utf-8"), max_size=4
)
_json = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(_words.filter(lambda key: key != "id"), _json | st.sampled_from(["a\r\nb", '"""\n']), max_size=4)
)
def test_values_are_read_back_as_they_were_given(values: dict[str, JsonValue]) -> None:
    """Whatever the keys and texts hold, the file says the same."""
    assert tomllib.loads(toml_edit.job_text(values)) == values


@pytest.mark.parametrize("values", [{"tags": [None]}, {"tags": [1] * MAX_VALUES}, {"a": [{"b": {}}] * MAX_VALUES}])
def test_values_that_no_text_can_hold_are_refused(values: dict[str, JsonValue]) -> None:
    """A sentence, before a text is made of them."""
    with pytest.raises(InvalidError, match="the job has "):
        text_of(values)


@pytest.mark.parametrize(
    "text",
    [
        '"en\\u0061bled" = true\n',
        "retry.attempts = 2\nenabled=true # x\n",
        "tags = [\n'enabled = true',\n]\r\n",
        "retry . attempts = 2",
    ],
)
def test_a_toggle_finds_the_key_however_it_is_written(text: str) -> None:
    """Escapes, dots and lists over lines too; and back again."""
    off = toml_edit.set_enabled(text, False)
    assert tomllib.loads(off) == {**tomllib.loads(text), "enabled": False}
    assert tomllib.loads(toml_edit.set_enabled(off, True)) == {**tomllib.loads(text), "enabled": True}
    toml_edit.check_editable(text)
