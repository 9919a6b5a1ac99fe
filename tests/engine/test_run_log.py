"""The log of a run in flight: numbered, masked, capped."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.engine import run_log
from nomaflow.engine.run_log import MASK, RunLog
from nomaflow.wire import LogLine


def say(log: RunLog, text: str, level: str = "INFO") -> list[LogLine]:
    return log.take(0.5, level, text, step="load", attempt=2, stream="stdout")


def shown(log: RunLog, text: str) -> str:
    (line,) = say(log, text)
    return line.text


def test_a_line_is_numbered_and_says_where_it_comes_from() -> None:
    """Numbers count from 1; the rest is what was told."""
    log = RunLog()
    (first,), (second,) = say(log, "one"), say(log, "two")
    assert (first.seq, second.seq, log.seq) == (1, 2, 2)
    assert second.ts == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert (second.level, second.step, second.attempt, second.stream, second.text) == (
        "INFO",
        "load",
        2,
        "stdout",
        "two",
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [("DEBUG", "DEBUG"), ("WARNING", "WARNING"), ("CRITICAL", "ERROR"), ("Level 25", "INFO"), ("", "INFO")],
)
def test_a_line_has_one_of_four_levels(level: str, expected: str) -> None:
    """Whatever a library calls its own."""
    assert say(RunLog(), "x", level)[0].level == expected


@pytest.mark.parametrize(
    ("secrets", "text", "expected"),
    [
        (["pass"], "the pass, twice:pass", f"the {MASK}, twice:{MASK}"),
        (["pass", "password-long"], "password-long", MASK),
        (["abcd", "cdef"], "xabcdefy", f"x{MASK}y"),
        (["cdef", "abcd"], "abcd cdef", f"{MASK} {MASK}"),
        (["abab"], "ababab", MASK),
        (["abcd", "efgh"], "abcdefgh", f"{MASK}{MASK}"),
        (["abcdefgh", "cdef"], "abcdefgh cdef", f"{MASK} {MASK}"),
        (["", "x"], "y", "y"),
        (["1"], "1 of 12 rows in 0.1 s: v1, _1_", f"{MASK} of 12 rows in 0.{MASK} s: v1, _{MASK}_"),
        (["pw"], "pwd=pw;é pwé ppw pw", f"pwd={MASK};é pwé ppw {MASK}"),
        (["pw", "pw1"], "pw1 pw", f"{MASK} {MASK}"),
        (["first-line\r\nsecond\nthird-line"], "third-line, second: first-line", f"{MASK}, second: {MASK}"),
        (["a\x1bb"], "a\x1bb", MASK),
        (["ключ😀"], "<ключ😀>", f"<{MASK}>"),
        (["•"], "• pw", f"{MASK} pw"),
    ],
)
def test_secrets_are_masked(secrets: list[str], text: str, expected: str) -> None:
    """Also where they lie in each other or overlap; nothing that one of them covers is shown."""
    log = RunLog()
    log.hide(secrets[:1])
    log.hide(secrets[1:])
    assert shown(log, text) == expected


def test_other_spellings_of_a_secret_are_masked() -> None:
    """As an address, JSON, a driver's keywords and base64 write it, whatever stands before it there."""
    secret = 'pä/ss wo"rd}+é'
    log = RunLog()
    log.hide([secret])
    for said in (
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps({"password": secret}),
        f"PWD={{{secret.replace('}', '}}')}}}",
    ):
        assert MASK in shown(log, said)
        assert "ss" not in shown(log, said).replace("password", "")
    for before in ("", "u", "us", "user:"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            said = encode(f"{before}{secret}".encode()).decode()
            # What is left are the letters that hold bits of other bytes.
            left = shown(log, f"Basic {said}.").replace(MASK, "").removeprefix("Basic ")
            assert len(left) <= len(encode(before.encode())) + 4


@given(st.lists(st.text("ab", min_size=4, max_size=6), max_size=4), st.text("abc", max_size=40))
def test_no_character_of_a_secret_is_shown(secrets: list[str], text: str) -> None:
    """What is left of a line is what no secret covers, in order."""
    log = RunLog()
    log.hide(secrets)
    covered = set()
    for secret in secrets:
        for start in range(len(text)):
            if text.startswith(secret, start):
                covered |= set(range(start, start + len(secret)))
    left = "".join(character for place, character in enumerate(text) if place not in covered)
    assert log.masked(text).replace(MASK, "") == left


@given(st.text("ab1 -", min_size=1, max_size=3), st.text("ab1 -", max_size=30))
def test_a_very_short_secret_is_masked_as_a_word(secret: str, text: str) -> None:
    """Everywhere it would shred the log; what stands between letters or digits stays, all else is masked."""
    log = RunLog()
    log.hide([secret])
    left = log.masked(text)
    if secret not in text:
        assert left == text
    for part in text.split(" "):
        if part == secret:
            assert MASK in left
    if all(text[:at].endswith(tuple("ab1")) for at in range(len(text)) if text.startswith(secret, at)):
        assert left == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tab\tstays", "tab\tstays"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\0c\x7f", r"a\x0db\x00c\x7f"),
        ("left \u202egnp.exe", r"left \u202egnp.exe"),
        ("a\u2028b\u2066", r"a\u2028b\u2066"),
        ("half \ud83d", r"half \ud83d"),
        ("whole 😀 Ünï", "whole 😀 Ünï"),
    ],
)
def test_control_characters_are_shown(text: str, expected: str) -> None:
    """What could move a cursor, turn text around or break UTF-8 is written as its code."""
    assert shown(RunLog(), text) == expected


@given(st.text())
def test_any_line_can_be_sent_and_stored(text: str) -> None:
    """Whatever a step prints is JSON and UTF-8 in the end."""
    (line,) = say(RunLog(), text)
    assert LogLine.model_validate_json(line.model_dump_json()).text == line.text


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "HEAD_LINES", 5)
    monkeypatch.setattr(run_log, "TAIL_LINES", 3)
    monkeypatch.setattr(run_log, "KEPT_FOR_FOLLOWERS", 4)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("lines", "head", "note", "tail"),
    [
        (5, [1, 2, 3, 4, 5], None, []),
        (6, [1, 2, 3, 4, 5], None, [6]),
        (8, [1, 2, 3, 4, 5], None, [6, 7, 8]),
        (9, [1, 2, 3, 4, 5], 1, [7, 8, 9]),
        (20, [1, 2, 3, 4, 5], 12, [18, 19, 20]),
    ],
)
def test_a_long_log_keeps_its_head_and_its_tail(lines: int, head: list[int], note: int | None, tail: list[int]) -> None:
    """The first lines at once, the last ones at the end, and between them a line that says how many are left out."""
    log = RunLog()
    stored = [line.seq for number in range(lines) for line in say(log, str(number))]
    rest = log.rest()
    said = [line for line in rest if line.text.startswith("…")]
    assert stored == head
    assert [line.seq for line in rest if line not in said] == tail
    assert [line.text.split(" ")[1] for line in said] == ([str(note)] if note else [])
    if said:
        assert (said[0].seq, said[0].level) == (tail[0] - 1, "WARNING")
        assert said[0].text.endswith("this log keeps its first 5 and its last 3")


def test_a_log_of_long_lines_is_capped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By characters, in the store and in memory: few lines of 64 KiB weigh as much as many short ones."""
    monkeypatch.setattr(run_log, "HEAD_CHARACTERS", 25)
    monkeypatch.setattr(run_log, "TAIL_CHARACTERS", 25)
    log = RunLog()
    stored = [line.seq for _ in range(10) for line in say(log, "x" * 10)]
    stored += [line.seq for line in say(log, "short enough for the head, but not next to it"[:3])]
    assert stored == [1, 2]
    assert [line.seq for line in log.rest()] == [8, 9, 10, 11]
    assert [line.seq for line in log.after(9) or ()] == [10, 11]
    assert log.after(0) is None


@pytest.mark.usefixtures("_small")
def test_followers_get_what_is_in_memory() -> None:
    """The lines after a number; None where some of them are only in the store."""
    log = RunLog()
    assert log.after(0) == []
    for number in range(6):
        say(log, str(number))
    assert [line.seq for line in log.after(2) or ()] == [3, 4, 5, 6]
    assert [line.seq for line in log.after(5) or ()] == [6]
    assert log.after(6) == log.after(9) == []
    assert log.after(1) is None


async def test_a_follower_waits_for_the_next_line_or_the_end() -> None:
    """And returns at once where there is one."""
    log = RunLog()
    say(log, "one")
    await log.wait_beyond(0)
    returned = []
    async with trio.open_nursery() as nursery:

        async def follow(seq: int) -> None:
            await log.wait_beyond(seq)
            returned.append(seq)

        nursery.start_soon(follow, 1)
        nursery.start_soon(follow, 2)
        await trio.testing.wait_all_tasks_blocked()
        assert returned == []
        say(log, "two")
        await trio.testing.wait_all_tasks_blocked()
        assert returned == [1]
        log.end()
    assert returned == [1, 2]
