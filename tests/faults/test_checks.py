"""The checks find what they are there for: evidence in which nothing is wrong is spoiled in one place after another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.checks import INTERRUPTED, problems
from tests.faults.evidence import Call, Evidence, Life, Mark, Seen
from tests.faults.home import KINDS

BEGIN = 1_800_000_000
"""A whole minute."""

KILLED, READY_AGAIN, OFF = BEGIN + 4.2, BEGIN + 6.4, BEGIN + 90.5


def iso(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run(run_id: str, job_id: str, state: str, begin: float, end: float, **more: Any) -> dict[str, Any]:
    step = {"name": "first", "state": state, "attempt": 1}
    if job_id.startswith("sql"):
        step["name"] = "sql"
    return {
        "id": run_id,
        "job_id": job_id,
        "state": state,
        "reason": None,
        "queued_at": iso(begin),
        "started_at": iso(begin),
        "finished_at": iso(end),
        "schedule": None,
        "scheduled_at": None,
        "wait_reason": None,
        "steps": [step],
    } | more


def slot(job_id: str, second: int, **more: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "schedule": "default",
        "scheduled_at": iso(second),
        "state": "SKIPPED",
        "reason": "run A is in flight",
        "run_id": None,
        "count": 1,
        "last_at": None,
    } | more


def marks(run_id: str, job_id: str, begin: float, end: float) -> list[Mark]:
    return [Mark(begin, "start", run_id, job_id, "first", 1, 7), Mark(end, "end", run_id, job_id, "first", 1, 7)]


def sound() -> Evidence:
    """Evidence in which nothing is wrong."""
    off = [
        Call("toggle", OFF, kind.id, {"enabled": False, "until": None}, OFF + 0.1, 200)
        for kind in KINDS.values()
        if kind.every_seconds
    ]
    evidence = Evidence(
        lives=[
            Life(1, BEGIN - 2, "at random", BEGIN - 0.5, KILLED),
            Life(2, BEGIN + 4.3, "stopped", READY_AGAIN, BEGIN + 95),
        ],
        calls=[
            Call("launch", BEGIN + 1, "by-hand", {"key": "key 1"}, BEGIN + 1.1, 202, {"id": "B"}),
            Call("launch", BEGIN + 7, "by-hand", {"key": "key 1"}, BEGIN + 7.1, 202, {"id": "B"}),
            Call("cancel", BEGIN + 2, None, {"run": "C"}, BEGIN + 2.1, 202),
            Call("skip", BEGIN + 1, "newest", {"second": BEGIN + 8}, BEGIN + 1.1, 200),
            *off,
        ],
        seen=[Seen("B", "SUCCEEDED", iso(BEGIN + 1.5), "key 1")],
        marks=[
            *marks("A", "each", BEGIN + 0.1, BEGIN + 0.5),
            *marks("B", "by-hand", BEGIN + 1.2, BEGIN + 1.4),
            *marks("E", "each", BEGIN + 7, BEGIN + 8),
            *marks("F", "locked", BEGIN + 7, BEGIN + 8),
            *marks("G", "locked-too", BEGIN + 8, BEGIN + 9),
            Mark(BEGIN + 2, "start", "C", "sleeper", "first", 1, 8),
        ],
        sql_marks=[("S", "sql-one")],
    )
    fired = {"schedule": "default", "scheduled_at": iso(BEGIN)}
    runs = [
        run("A", "each", "SUCCEEDED", BEGIN, BEGIN + 0.6, **fired),
        run("B", "by-hand", "SUCCEEDED", BEGIN + 1.1, BEGIN + 1.5, reason="key 1"),
        run("C", "sleeper", "CANCELED", BEGIN + 1.9, BEGIN + 2.5),
        run("D", "deaf", "FAILED", BEGIN + 4, BEGIN + 6, reason=INTERRUPTED),
        run("E", "each", "SUCCEEDED", BEGIN + 7, BEGIN + 8.1),
        run("F", "locked", "SUCCEEDED", BEGIN + 7, BEGIN + 8.1),
        run("G", "locked-too", "SUCCEEDED", BEGIN + 7.5, BEGIN + 9.1),
        run("S", "sql-one", "SUCCEEDED", BEGIN + 1, BEGIN + 2),
    ]
    for each in runs:
        texts = ["▶", "marked first 1", f"run {each['state']} in 1 s"]
        evidence.runs[each["id"]] = each
        evidence.logs[each["id"]] = [{"seq": number, "text": text} for number, text in enumerate(texts, 1)]
    for kind in KINDS.values():
        if kind.every_seconds:
            seconds = range(BEGIN, int(OFF) + 1, kind.every_seconds)
            evidence.slots += [slot(kind.id, second) for second in seconds]
    of(evidence, "each", BEGIN).update(state="FIRED", reason=None, run_id="A")
    of(evidence, "newest", BEGIN + 8).update(reason="skipped by api:admin")
    return evidence


def of(evidence: Evidence, job_id: str, second: float) -> dict[str, Any]:
    return next(slot for slot in evidence.slots if (slot["job_id"], slot["scheduled_at"]) == (job_id, iso(second)))


def lose(evidence: Evidence, run_id: str) -> None:
    del evidence.runs[run_id], evidence.logs[run_id]


def outage(evidence: Evidence, job_id: str, second: float, **late: Any) -> None:
    """No engine for more than a minute, and one late fire."""
    evidence.lives[1].started_at, evidence.lives[1].ready_at = BEGIN + 80, BEGIN + 82
    for each in evidence.slots:
        states = {"skip": "MISSED", "latest": "COALESCED", "all": "FIRED"}
        if BEGIN + 5 < datetime.fromisoformat(each["scheduled_at"]).timestamp() < BEGIN + 20:
            each["state"] = states[KINDS[each["job_id"]].misfire]
    evidence.slots = [each for each in evidence.slots if each["job_id"] != "queues"]
    of(evidence, job_id, second).update(late)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """Evidence without a fault gives no problem."""
    assert problems(sound()) == []


def test_an_outage_by_the_rule_is_no_fault() -> None:
    """Late fires that are decided as their jobs' `misfire` says give no problem of their own."""
    evidence = sound()
    outage(evidence, "each", BEGIN + 9)
    assert not [problem for problem in problems(evidence) if problem.startswith("late_slots")]


SPOILED: list[tuple[str, Callable[[Evidence], object]]] = [
    ("runs_are_over", lambda it: it.runs["D"].update(state="RUNNING", finished_at=None)),
    ("runs_are_over", lambda it: it.runs["D"]["steps"][0].update(state="RUNNING")),
    ("launches_exist_once", lambda it: lose(it, "B")),
    ("launches_exist_once", lambda it: it.calls[1].answer.update(id="S")),
    ("launches_exist_once", lambda it: it.runs["S"].update(reason="key 1")),
    ("ends_stay", lambda it: it.runs["B"].update(state="FAILED")),
    ("ends_stay", lambda it: it.runs["B"].update(finished_at=iso(BEGIN + 1.6))),
    ("ends_stay", lambda it: lose(it, "B")),
    ("cancels_hold", lambda it: it.runs["C"].update(state="SUCCEEDED")),
    ("cancels_hold", lambda it: lose(it, "C")),
    ("nobody_else_cancels", lambda it: it.runs["A"].update(state="CANCELED")),
    ("only_kills_interrupt", lambda it: it.runs["S"].update(state="FAILED", reason=INTERRUPTED)),
    ("slots_are_whole", lambda it: it.slots.remove(of(it, "each", BEGIN + 5))),
    ("slots_are_whole", lambda it: it.slots.append(slot("each", BEGIN + 5))),
    ("slots_are_whole", lambda it: it.slots.append(slot("newest", BEGIN + 5))),
    ("slots_are_whole", lambda it: it.slots.append(slot("by-hand", BEGIN + 5))),
    ("slots_are_whole", lambda it: it.slots.append(slot("each", int(OFF) + 2))),
    ("slots_are_whole", lambda it: of(it, "each", BEGIN + 5).update(count=2)),
    ("slots_and_runs_agree", lambda it: of(it, "each", BEGIN + 5).update(reason=None)),
    ("slots_and_runs_agree", lambda it: of(it, "each", BEGIN + 5).update(state="FIRED", run_id="A")),
    ("slots_and_runs_agree", lambda it: of(it, "each", BEGIN).update(run_id="Z")),
    ("slots_and_runs_agree", lambda it: of(it, "each", BEGIN).update(state="SKIPPED", reason="no")),
    ("slots_and_runs_agree", lambda it: it.runs["A"].update(scheduled_at=iso(BEGIN + 1))),
    ("skips_hold", lambda it: of(it, "newest", BEGIN + 8).update(reason="run A is in flight")),
    ("skips_hold", lambda it: of(it, "newest", BEGIN + 12).update(reason="skipped by api:admin")),
    ("late_slots_follow_the_rule", lambda it: outage(it, "each", BEGIN + 9, state="FIRED", run_id="A")),
    ("late_slots_follow_the_rule", lambda it: outage(it, "locked", BEGIN + 8, state="COALESCED")),
    ("code_runs_once", lambda it: it.marks.append(it.marks[0])),
    ("code_runs_once", lambda it: it.marks.append(it.marks[0]._replace(run="Z"))),
    ("code_runs_once", lambda it: it.marks.append(it.marks[0]._replace(attempt=2))),
    ("code_runs_once", lambda it: it.sql_marks.append(("S", "sql-one"))),
    ("code_runs_once", lambda it: it.sql_marks.append(("Z", "sql-one"))),
    ("code_is_over_with_its_run", lambda it: it.marks.append(it.marks[-1]._replace(what="beat", wall=BEGIN + 2.6))),
    ("runs_take_turns", lambda it: it.marks.append(it.marks[1]._replace(what="beat", wall=BEGIN + 7.1))),
    ("runs_take_turns", lambda it: it.marks.append(Mark(BEGIN + 7.9, "beat", "G", "locked-too", "first", 1, 7))),
    ("done_is_done", lambda it: it.marks.remove(it.marks[1])),
    ("done_is_done", lambda it: it.sql_marks.clear()),
    ("done_is_done", lambda it: it.logs["A"][1].update(text="something else")),
    ("logs_are_whole", lambda it: it.logs["A"].pop(1)),
    ("logs_are_whole", lambda it: it.logs["A"].insert(1, it.logs["A"][1])),
    ("logs_are_whole", lambda it: it.logs["A"].pop()),
]


@pytest.mark.parametrize(("check", "spoil"), SPOILED, ids=[f"{n} {check}" for n, (check, _) in enumerate(SPOILED)])
def test_a_fault_is_found(check: str, spoil: Callable[[Evidence], object]) -> None:
    """Each way to spoil the evidence is found by the check that is there for it."""
    evidence = sound()
    spoil(evidence)
    assert any(problem.startswith(f"{check}:") for problem in problems(evidence)), problems(evidence)
