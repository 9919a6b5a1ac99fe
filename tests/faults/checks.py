"""What must hold after engines were killed, from the evidence alone. Each check gives a sentence for what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.faults.evidence import TERMINAL, Call, Evidence, Mark, wall
from tests.faults.home import KINDS, Kind

LATE_SECONDS = 60.0
"""A fire that is looked at later than this is decided by its job's `misfire`."""

OVERTAKEN_SECONDS = 0.5
"""A switch may overtake a fire that is due so shortly before it is asked for; the switch itself is on record then."""

INTERRUPTED = "interrupted: engine restarted"


def problems(evidence: Evidence) -> list[str]:
    """All that is wrong."""
    found = [*evidence.broken]
    for check in (
        runs_are_over,
        launches_exist_once,
        ends_stay,
        cancels_hold,
        nobody_else_cancels,
        only_kills_interrupt,
        slots_are_whole,
        slots_and_runs_agree,
        skips_hold,
        late_slots_follow_the_rule,
        code_runs_once,
        code_is_over_with_its_run,
        runs_take_turns,
        done_is_done,
        logs_are_whole,
    ):
        found += [f"{check.__name__}: {problem}" for problem in check(evidence)]
    return found


def runs_are_over(evidence: Evidence) -> Iterator[str]:
    """No run is stuck."""
    for run in evidence.runs.values():
        if run["state"] not in TERMINAL or run["finished_at"] is None:
            yield f"{run['id']} of {run['job_id']} is {run['state']} when all is quiet: {run['wait_reason']}"
        for step in run["steps"]:
            if step["state"] not in TERMINAL:
                yield f"the step {step['name']} of {run['id']} is {step['state']} when all is quiet"


def launches_exist_once(evidence: Evidence) -> Iterator[str]:
    """An acknowledged launch is there, and the same key gives the same run, also from another engine."""
    runs_of_key = defaultdict(set)
    for call in evidence.calls:
        if call.verb == "launch" and call.is_done:
            runs_of_key[call.given["key"]].add(call.answer["id"])
    for key, runs in runs_of_key.items():
        if len(runs) > 1:
            yield f"{key} started {sorted(runs)}"
        for run in runs - evidence.runs.keys():
            yield f"{run} was acknowledged for {key} and is not there"
    for key, count in Counter(_reason(run) for run in evidence.runs.values()).items():
        if key is not None and count > 1:
            yield f"{key} has {count} runs"


def _reason(run: dict[str, Any]) -> str | None:
    """The key of a launch, which people give as its reason too; it may give way to why the run ended."""
    reason: str | None = run["reason"]
    return reason if reason is not None and reason.startswith("key ") else None


def ends_stay(evidence: Evidence) -> Iterator[str]:
    """What was shown to be over is over, in the same way, for ever."""
    for seen in sorted(set(evidence.seen), key=str):
        run = evidence.runs.get(seen.run)
        if run is None:
            yield f"{seen.run} was seen to be {seen.state} and is not there"
        elif (run["state"], run["finished_at"], run["reason"]) != (seen.state, seen.finished_at, seen.reason):
            yield f"{seen} is now {run['state']} at {run['finished_at']}: {run['reason']}"


def cancels_hold(evidence: Evidence) -> Iterator[str]:
    """A run whose cancel was acknowledged is CANCELED, also when the engine died before it was."""
    for call in evidence.calls:
        if call.verb == "cancel" and call.is_done:
            run = evidence.runs.get(call.given["run"])
            if run is None or run["state"] != "CANCELED":
                state = run and f"{run['state']} at {run['finished_at']}: {run['reason']}"
                yield f"the cancel of {call.given['run']} was acknowledged at {call.answered}, and it is {state}"


def nobody_else_cancels(evidence: Evidence) -> Iterator[str]:
    """A run is CANCELED because somebody asked, or because a newer one takes its place."""
    asked = {call.given["run"] for call in evidence.calls if call.verb == "cancel"}
    for run in evidence.runs.values():
        gives_way = KINDS[run["job_id"]].overlap in ("queue_one", "cancel_running")
        if run["state"] == "CANCELED" and run["id"] not in asked and not gives_way:
            yield f"{run['id']} of {run['job_id']} is CANCELED and nobody asked for it: {run['reason']}"


def only_kills_interrupt(evidence: Evidence) -> Iterator[str]:
    """A run is interrupted only where an engine was killed while it went on."""
    killed = [life.ended_at or 0 for life in evidence.kills()]
    for run in evidence.runs.values():
        if run["reason"] == INTERRUPTED and run["finished_at"]:
            since, until = wall(run["queued_at"]), wall(run["finished_at"])
            if not any(since <= instant <= until for instant in killed):
                yield f"{run['id']} was interrupted, and no engine was killed between {since} and {until}"


def slots_are_whole(evidence: Evidence) -> Iterator[str]:
    """Each due second has one slot, except while its job was switched off; and no other second has one."""
    rows = defaultdict(list)
    for slot in evidence.slots:
        rows[slot["job_id"]].append(slot)
    for kind in KINDS.values():
        covered = Counter(second for slot in rows[kind.id] for second in _seconds(kind, slot))
        for second, count in covered.items():
            if count > 1:
                yield f"the second {second} of {kind.id} has {count} slots"
            if not kind.every_seconds or second % kind.every_seconds:
                yield f"{kind.id} is not due at {second} and has a slot then"
        for begin, end, is_on in _known(evidence, kind.id) if kind.every_seconds else ():
            due = {second for second in range(int(begin) + 1, int(end) + 1) if second % kind.every_seconds == 0}
            due = {second for second in due if begin < second < end}
            if is_on and (missing := sorted(due - covered.keys())):
                yield f"{kind.id} was on from {begin} to {end}, and these seconds have no slot: {missing}"
            if not is_on and (extra := sorted(due & covered.keys())):
                yield f"{kind.id} was off from {begin} to {end}, and these seconds have a slot: {extra}"


def _seconds(kind: Kind, slot: dict[str, Any]) -> Iterator[int]:
    first, last = wall(slot["scheduled_at"]), wall(slot["last_at"] or slot["scheduled_at"])
    found = range(int(first), int(last) + 1, kind.every_seconds or 1)
    # A row whose count does not fit its ends covers nothing that is known.
    return iter(found if len(found) == slot["count"] and first == int(first) else [])


def _known(evidence: Evidence, job_id: str) -> Iterator[tuple[float, float, bool]]:
    """Since when and until when it is known that a job is on or off; in between nobody can say."""
    since = next(life.ready_at for life in evidence.lives if life.ready_at is not None)
    is_on: bool | None = True
    ends: float | None = None
    for call in _toggles(evidence, job_id):
        if is_on is not None:
            yield since, min(call.sent, ends or call.sent) - (OVERTAKEN_SECONDS if is_on else 0), is_on
        is_on = call.given["enabled"] if call.is_done else None
        since, ends = call.answered or call.sent, call.given["until"]
    # The last one switches all off, for good.
    assert is_on is False, f"the last switch of {job_id} was not acknowledged"
    yield since, since + LATE_SECONDS, False


def _toggles(evidence: Evidence, job_id: str) -> list[Call]:
    return [call for call in evidence.calls if call.verb == "toggle" and call.job_id == job_id]


def slots_and_runs_agree(evidence: Evidence) -> Iterator[str]:
    """A FIRED slot has its run, with its time, and a run of a schedule its slot; any other slot says why."""
    slot_of_run: dict[str, dict[str, Any]] = {}
    for slot in evidence.slots:
        name = f"the slot of {slot['job_id']} at {slot['scheduled_at']}"
        if slot["state"] != "FIRED":
            if not slot["reason"]:
                yield f"{name} is {slot['state']} and does not say why"
            continue
        run = evidence.runs.get(slot["run_id"])
        if run is None:
            yield f"{name} names the run {slot['run_id']}, which is not there"
            continue
        if slot["run_id"] in slot_of_run:
            yield f"{name} names the run {slot['run_id']} of another slot"
        slot_of_run[slot["run_id"]] = slot
        of_run = run["job_id"], run["schedule"], run["scheduled_at"]
        if of_run != (slot["job_id"], slot["schedule"], slot["scheduled_at"]):
            yield f"{name} names the run {run['id']}, which is of {of_run}"
    for run in evidence.runs.values():
        if run["scheduled_at"] is not None and run["id"] not in slot_of_run:
            yield f"{run['id']} of {run['job_id']} is of {run['scheduled_at']}, and no slot names it"


def skips_hold(evidence: Evidence) -> Iterator[str]:
    """A fire that somebody left out is left out, and no other."""
    wanted: dict[tuple[str | None, int], bool | None] = {}
    for call in evidence.calls:
        if call.verb in ("skip", "unskip") and (call.status is None or call.is_done):
            wanted[call.job_id, call.given["second"]] = (call.verb == "skip") if call.is_done else None
    for slot in evidence.slots:
        place = slot["job_id"], int(wall(slot["scheduled_at"]))
        is_left_out = slot["state"] == "SKIPPED" and (slot["reason"] or "").startswith("skipped by")
        if wanted.get(place, False) not in (None, is_left_out):
            yield f"the fire {place} is {slot['state']}: {slot['reason']}; to be left out: {wanted.get(place, False)}"


def late_slots_follow_the_rule(evidence: Evidence) -> Iterator[str]:
    """After a long outage: `skip` lets late fires go, `latest` fires one in their place, `all` fires each of them."""
    for before, after in pairwise(life for life in evidence.lives):
        down, up = before.ended_at or 0, after.ready_at
        if up is None or up - down < LATE_SECONDS:
            continue
        # What was late at the first look, whenever within the start that was.
        since, until = down + 1, after.started_at - LATE_SECONDS
        late = [slot for slot in evidence.slots if since < wall(slot["scheduled_at"]) < until]
        states: dict[str, Counter[str]] = defaultdict(Counter)
        for slot in late:
            if "skipped by" not in (slot["reason"] or ""):
                states[slot["job_id"]][slot["state"]] += 1
        for job_id, counted in states.items():
            allowed = {"skip": {"MISSED"}, "latest": {"COALESCED"}, "all": {"FIRED"}}[KINDS[job_id].misfire]
            if counted.keys() - allowed:
                yield f"late fires of {job_id}, whose misfire is {KINDS[job_id].misfire}, are {dict(counted)}"


def code_runs_once(evidence: Evidence) -> Iterator[str]:
    """No try of a step is begun twice, none beyond its job's attempts, and none of a run that is not on record."""
    starts = Counter((mark.run, mark.step, mark.attempt) for mark in evidence.marks if mark.what == "start")
    for (run, step, attempt), count in starts.items():
        if count > 1:
            yield f"try {attempt} of {step} of {run} began {count} times"
        if run not in evidence.runs:
            yield f"{step} of {run} began, and there is no such run"
            continue
        record = next(each for each in evidence.runs[run]["steps"] if each["name"] == step)
        if attempt > record["attempt"] or attempt > KINDS[evidence.runs[run]["job_id"]].attempts:
            yield f"try {attempt} of {step} of {run} began, of which the record says {record['attempt']}"
    for (run, job), count in Counter(evidence.sql_marks).items():
        if count > 1 or run not in evidence.runs:
            yield f"the statement of {run} of {job} was committed {count} times; on record: {run in evidence.runs}"


def code_is_over_with_its_run(evidence: Evidence) -> Iterator[str]:
    """Nothing is done for a run that is over: none begins when it is CANCELED, and no worker outlives its end."""
    last: dict[str, Mark] = {}
    for mark in evidence.marks:
        if mark.run not in last or mark.wall > last[mark.run].wall:
            last[mark.run] = mark
    for run_id, mark in last.items():
        run = evidence.runs.get(run_id)
        # The API leaves out what is less than a millisecond.
        if run is not None and run["finished_at"] and mark.wall > wall(run["finished_at"]) + 0.001:
            yield f"{run_id} of {mark.job} is {run['state']} since {run['finished_at']} and left {mark} after that"


def runs_take_turns(evidence: Evidence) -> Iterator[str]:
    """Runs of one job, and of jobs that share a lock, are never at work at the same time."""
    spans: dict[str, list[float]] = {}
    for mark in evidence.marks:
        span = spans.setdefault(mark.run, [mark.wall, mark.wall])
        span[0], span[1] = min(span[0], mark.wall), max(span[1], mark.wall)
    jobs = {mark.run: mark.job for mark in evidence.marks}
    shares = defaultdict(list)
    for run, (begin, end) in spans.items():
        kind = KINDS[jobs[run]]
        for name in [*([f"job {kind.id}"] if kind.takes_turns else []), *([f"lock {kind.lock}"] if kind.lock else [])]:
            shares[name].append((begin, end, run))
    for name, taken in shares.items():
        for (_, end, run), (begin, _, other) in pairwise(sorted(taken)):
            if begin < end:
                yield f"{run} and {other} were at work at the same time under the {name}, for {end - begin:.3f} s"


def done_is_done(evidence: Evidence) -> Iterator[str]:
    """A step that SUCCEEDED has come to its end, and its log says so."""
    ends = {(mark.run, mark.step, mark.attempt) for mark in evidence.marks if mark.what == "end"}
    committed = {run for run, _ in evidence.sql_marks}
    for run in evidence.runs.values():
        texts = {line["text"] for line in evidence.logs[run["id"]]}
        for step in run["steps"]:
            if step["state"] != "SUCCEEDED":
                continue
            if step["name"] == "sql":
                if run["id"] not in committed:
                    yield f"the statement of {run['id']} is said to have succeeded, and nothing of it is there"
            elif (run["id"], step["name"], step["attempt"]) not in ends:
                yield f"the step {step['name']} of {run['id']} is said to have succeeded, and never came to its end"
            elif f"marked {step['name']} {step['attempt']}" not in texts:
                yield f"the step {step['name']} of {run['id']} has succeeded, and its log lacks its last line"


def logs_are_whole(evidence: Evidence) -> Iterator[str]:
    """The lines of a log are numbered from 1 without a gap, and the last one says how the run ended."""
    for run_id, lines in evidence.logs.items():
        numbers = [line["seq"] for line in lines]
        if numbers != list(range(1, len(lines) + 1)):
            wrong = [(one, two) for one, two in pairwise([0, *numbers]) if two != one + 1]
            yield f"the log of {run_id} has {len(lines)} lines, numbered with jumps {wrong[:5]}"
        state = evidence.runs[run_id]["state"]
        if not lines or not lines[-1]["text"].startswith(f"run {state}"):
            yield f"the log of {run_id}, which is {state}, ends with {lines[-1]['text'] if lines else None!r}"
