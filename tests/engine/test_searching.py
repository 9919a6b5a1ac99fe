"""The store finds what `nomaflow.history.search_facts` finds, page by page."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomaflow.engine import rows
from nomaflow.engine.change import Change
from nomaflow.engine.finding import facts
from nomaflow.engine.model import Actor, Run
from nomaflow.engine.store import Store, searching
from nomaflow.engine.store.conditions import Around, Span
from nomaflow.history.search import parse
from nomaflow.history.search_facts import RunFacts, finds_run
from nomaflow.launch.plan import Plan, PlannedStep, PlannedValue
from nomaflow.seams import run_id_of, run_number
from nomaflow.wire import LogLine, RunState, StepError, StepRun, StepState

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)
RUNS = 80

TAGS = {"jde-load": ["etl", "Night"], "jde_load": ["a.b"], "hr.sync": [], "nomasx1-security": ["etl"]}
JOBS = [*TAGS, "deleted"]
STEPS = ["F0004", "load", "a*b", "étape"]
VALUES = [10, 20, False, None, "", "two words", "50%", "a*b", 1.5, [1, "x"], "É_é", 'say "hi"', "back\\slash", "10"]
TEXTS = ["ORA-00942: no table", 'say "hi"', "100% done_", "back\\slash", "(a|b)*", "É è", "a.b: c"]


def made_run(number: int, draw: random.Random) -> tuple[Run, list[LogLine]]:
    """One run of any kind, with its log."""
    planned = [
        PlannedStep(
            name=name,
            type="python",
            runs=draw.random() < 0.8,
            kwargs={
                key: PlannedValue(value=draw.choice(VALUES), origin="saved")
                for key in draw.sample(["apps_id", "Name", "job"], draw.randint(0, 3))
            },
        )
        for name in draw.sample(STEPS, draw.randint(1, 3))
    ]
    queued_at = NOW - timedelta(minutes=number * 37, microseconds=draw.randint(0, 999_999))
    started_at = queued_at + timedelta(seconds=draw.choice([0, 5, 90])) if draw.random() < 0.9 else None
    ended = started_at is not None and draw.random() < 0.9
    by_hand = draw.random() < 0.5
    run = Run(
        id=run_id_of((RUNS - number) * 1_000_003 + draw.randint(0, 1_000_000)),
        job_id=draw.choice(JOBS),
        plan=Plan(log_level="INFO", steps=planned),
        steps=[made_step(step, queued_at, draw) for step in planned],
        actor=Actor(draw.choice(["ana", "bea"]), draw.choice(["web", "slack", "cli"]))
        if by_hand
        else Actor("n", "cron"),
        etag="e",
        queued_at=queued_at,
        state=draw.choice(list(RunState)),
        reason=draw.choice([None, "step load failed", *TEXTS]),
        started_at=started_at,
        finished_at=started_at + timedelta(seconds=draw.choice([0, 299, 300, 3600])) if started_at and ended else None,
        schedule=None if by_hand else draw.choice(["nightly", "Hourly"]),
        scheduled_at=None if by_hand else queued_at,
        replay_of=run_id_of(draw.randint(1, 2**62)) if draw.random() < 0.2 else None,
        parent_run=run_id_of(draw.randint(1, 2**62)) if draw.random() < 0.2 else None,
    )
    texts = draw.sample(TEXTS, draw.randint(0, 2))
    return run, [LogLine(seq=seq, ts=NOW, level="INFO", text=text) for seq, text in enumerate(texts, start=1)]


def made_step(planned: PlannedStep, started_at: datetime, draw: random.Random) -> StepRun:
    step = StepRun(name=planned.name, type="python", state=StepState.CANCELED, reason="skipped: disabled")
    if planned.runs:
        step.state, step.reason = draw.choice([*StepState]), draw.choice([None, "an earlier step failed"])
        step.started_at = started_at if draw.random() < 0.7 else None
        step.rows_affected = draw.choice([None, 0, 1000])
        if step.state is StepState.FAILED:
            step.error = StepError(type=draw.choice(["ValueError", "É"]), message=draw.choice(TEXTS), traceback="zzz")
    return step


@dataclass(frozen=True)
class History:
    """A store, and the facts of all runs that it holds, newest first."""

    store: Store
    runs: list[RunFacts]

    def pages(self, text: str, limit: int, jobs: list[str] | None = None, without: int = 0) -> list[list[str]]:
        """The ids that the store finds, page by page, without some of the newest runs."""
        search, around = parse(text, now=NOW, timezone="UTC"), Around(NOW, TAGS)
        left_out, before = [run_number(run.id) for run in self.runs[:without]], None
        pages = []
        while True:
            found = self.store.search(search, around, jobs=jobs, without=left_out, before=before, limit=limit)
            pages.append([run_id_of(row[0]) for row in found.rows])
            assert len(found.rows) <= limit
            assert before is None or found.unread is None or found.unread < before
            before = found.unread
            if before is None:
                return pages

    def expected(self, text: str, jobs: list[str] | None = None, without: int = 0) -> list[str]:
        """The ids of those that the pure function finds."""
        search = parse(text, now=NOW, timezone="UTC")
        allowed = [run for run in self.runs[without:] if jobs is None or run.job_id in jobs]
        return [run.id for run in allowed if finds_run(search, run)]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Runs of all kinds."""
    store, draw, change, log, known = (
        Store(tmp_path_factory.mktemp("store") / "runs"),
        random.Random(7),
        Change(),
        [],
        [],
    )
    for number in range(RUNS):
        run, lines = made_run(number, draw)
        change.inserted.append(rows.run_insert(run, store.epoch))
        log += [rows.log_row(run.id, line) for line in lines]
        tags, texts = TAGS.get(run.job_id, ()), [line.text for line in lines]
        found = facts(run, now=NOW, tags=tags, lines=texts)
        # Of a run in flight the store knows no steps; it is never asked for one.
        known.append(found if run.state.is_terminal else replace(found, steps=[]))
    change.inserted.reverse()
    store.commit([change], log)
    yield History(store, known)
    store.close()


TEXTS_SOUGHT = "ora load zzz ValueError hi 100% done_ a*b o*9*t é * step*failed 0000 2 traceback 1*%*e_ _*%"
PARAMS_SOUGHT = '10 1 false null "" two* * 50% "a*b" a*b 1.5 [1* É_É e_e'
TERMS_SOUGHT = (
    "state:failed state:active state:ended,queued since:12h until:2026-11-22 since:yesterday by:web:* by:user:ana "
    "by:slack:ana tag:ETL tag:night tag:a.b schedule:hourly run:0000 run:7777 run:ZZZZZZZZZZZZZ replay:* parent:* "
    "late>4s late<=5s rows>0 rows<=1000 dur>99999999w"
)

names = st.sampled_from(
    [*JOBS, *STEPS, "jde*", "*load", "j*e*d", "jde_*", "*_l*", "*", "f*4", '"a*b"', "É*", "ana", "slack", "a*", "cron"]
)
texts = st.sampled_from(
    [*TEXTS_SOUGHT.split(), '"ValueError: ORA"', '": c"', '"É:"', '"say \\"hi"', '"(a|b)*"', '" "', "back\\slash"]
)
params = st.sampled_from([*PARAMS_SOUGHT.split(), '"two words"', "*\\*"])
named = st.sampled_from(["job", "tag", "step", "failed", "skipped", "schedule", "by"])
terms = st.one_of(
    st.builds("{}:{},{}".format, named, names, names),
    st.builds("{}:{}".format, named, names),
    st.sampled_from(TERMS_SOUGHT.split()),
    st.builds(
        "by:{}:{}".format,
        st.sampled_from(["slack", "s*", "*", "user", "u*r", "cron", "*e*"]),
        st.sampled_from(["ana", "*", "a*", "*a", "n", "*:*"]),
    ),
    st.builds("dur{}{}".format, st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(["0s", "299s", "5m", "1h"])),
    st.builds(
        "{}{}{}".format, st.sampled_from(["apps_id", "NAME", "param.job", "x"]), st.sampled_from(["=", "!="]), params
    ),
    texts,
    st.builds("text:{}".format, texts),
)
searches = st.lists(st.tuples(st.sampled_from(["", "", "-"]), terms).map("".join), max_size=3).map(" ".join)


@given(searches)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_store_finds_what_the_pure_function_finds(history: History, text: str) -> None:
    """Whatever is searched for, newest first."""
    assert history.pages(text, 500) == [history.expected(text)]


@pytest.mark.parametrize(
    "text",
    ["", "job:jde*", "text:é", "-text:ora", "-failed:*", "zzz", "load text:a"],
)
@pytest.mark.parametrize(("runs", "lines"), [(1, 1), (5, 10)])
def test_pages_together_are_the_whole(
    history: History, monkeypatch: pytest.MonkeyPatch, text: str, runs: int, lines: int
) -> None:
    """However few runs are asked first, and however few lines one page reads, none is left out and none comes twice."""
    monkeypatch.setattr(searching, "RECENT_RUNS", runs)
    monkeypatch.setattr(searching, "LINES_A_PAGE", lines)
    for limit in (3, 500):
        assert list(chain.from_iterable(history.pages(text, limit))) == history.expected(text)


def test_a_page_reads_a_bounded_number_of_lines(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found rarely comes over several pages, some of them empty, instead of late."""
    monkeypatch.setattr(searching, "LINES_A_PAGE", 10)
    pages = history.pages("text:traceback", 50)
    assert len(pages) > 3
    assert not any(pages)


def test_a_page_reads_as_many_lines_where_some_runs_say_much(tmp_path: Path) -> None:
    """One hour may have a thousand times the lines of another."""
    store = Store(tmp_path / "runs")
    log = [
        rows.log_row(run_id_of(number * 1_000_003), LogLine(seq=seq, ts=NOW, level="INFO", text="said"))
        for number in range(1, 1001)
        for seq in range(150 if number > 990 else 1)
    ]
    store.commit([], log)
    for run in (1000, 995, 990, 500):
        assert 50 <= store._count_lines(store._span(run * 1_000_003 + 1, 100)) <= 200
    assert store._span(50 * 1_000_003, 100) == Span(end=50 * 1_000_003)
    store.close()


def test_the_newest_runs_are_counted_by_their_rows(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the days of a store differ: a quiet week before today does not make the newest runs none."""
    monkeypatch.setattr(searching, "_BESIDE", 1)
    numbers = [run_number(run.id) for run in history.runs]
    assert history.store._recent(Span().end, 10) == Span(numbers[10])
    assert history.store._recent(numbers[20], 10) == Span(numbers[31], numbers[20])
    assert history.store._recent(Span().end, RUNS) == Span()


@pytest.mark.parametrize("text", ["", "state:failed", "load", "text:é"])
def test_only_visible_jobs_are_found(history: History, text: str) -> None:
    """The jobs that a person may see bound the search itself, so that full pages come back."""
    jobs = ["jde-load", "deleted"]
    pages = history.pages(text, 5, jobs=jobs)
    assert list(chain.from_iterable(pages)) == history.expected(text, jobs=jobs)
    assert all(len(page) == 5 for page in pages[:-1])
    assert history.pages(text, 5, jobs=[]) == [[]]


@pytest.mark.parametrize("text", ["", "-state:failed", "load", "text:é"])
def test_runs_can_be_left_out(history: History, text: str) -> None:
    """Those in flight, of which the store's rows are behind."""
    assert list(chain.from_iterable(history.pages(text, 5, without=20))) == history.expected(text, without=20)


@pytest.mark.parametrize("by", [1, -1, 10_000])
def test_rows_that_have_moved_meanwhile_are_found(history: History, by: int) -> None:
    """A checkpoint between the two reads of a page may put rows where deleted ones were."""
    places = history.store._places([], Span(), 5)
    moved = [replace(place, row=place.row + by) for place in places]
    assert [row[0] for row in history.store._rows(moved)] == [place.number for place in places]
    assert history.store._rows(moved) == history.store._rows(places)
