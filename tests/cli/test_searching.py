"""Searches in the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nomaflow.cli import main, runs
from nomaflow.cli.searching import with_terms_last
from nomaflow.wire import Page, RunSummary
from tests.client.home import running
from tests.fakes.scripts import fail, ok

type Cli = Callable[..., int]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """One command of an engine on which `hello` ran twice, and `load` failed for want of space."""
    with running(tmp_path / "home", load=fail("no space left"), extract=ok(rows=3), hello=ok("hello there")) as served:
        monkeypatch.setenv("NOMAFLOW_URL", served.url)
        monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
        for arguments in (["hello"], ["hello"], ["load", "-p", "apps_id=20"]):
            assert main(["run", *arguments]) == 0
        yield lambda *arguments: main(list(arguments))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (["state:failed"], ["load"]),
        (["state:succeeded,failed", "job:h*"], ["hello", "hello"]),
        (["state:failed apps_id=20 since:1d"], ["load"]),
        (["apps_id=20", "text:no space"], ["load"]),
        (["apps_id=20", 'text:"no space"'], ["load"]),
        (["-job:load", "--limit", "1"], ["hello"]),
        (["tag:etl", "failed:load", "skipped:*"], []),
        (["step:extract", "-apps_id=10"], ["load"]),
        (["--job", "hello", "-state:failed"], ["hello", "hello"]),
    ],
)
def test_runs_are_searched(cli: Cli, capsys: pytest.CaptureFixture[str], query: list[str], found: list[str]) -> None:
    """In one word of the shell or in several; a leading minus is no option."""
    capsys.readouterr()
    assert cli("runs", *query, "--json") == 0
    assert [run["job_id"] for run in json.loads(capsys.readouterr().out)["items"]] == found


def test_an_error_points_at_its_character(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the search as it was read; 2."""
    for command, query, message, caret in (
        ("runs", ["job:load", "state:faild"], 'unknown state "faild" at character 16; did you mean "failed"?', 15),
        ("runs", ["漢\tsate:failed"], 'unknown key "sate" at character 3; did you mean "state"?', 3),
        ("jobs", ["since:7d"], 'unknown key "since" at character 1', 0),
    ):
        capsys.readouterr()
        assert cli(command, *query) == 2
        first, shown, place = capsys.readouterr().err.splitlines()
        assert first.startswith(f"Error: {message}")
        assert shown == "  " + " ".join(query).replace("\t", " ")
        assert place == "  " + " " * caret + "^"


def test_nothing_found_says_what_to_do(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that there is not is named; a search that may be too narrow says so."""
    capsys.readouterr()
    assert cli("runs", "job:hello state:failed") == 0
    assert capsys.readouterr().out.startswith("No run fits; leave something out")
    assert cli("runs", "job:helo state:failed") == 2
    assert "there is no job 'helo'; did you mean \"hello\"?" in capsys.readouterr().err
    assert cli("runs", "job:zzz") == 2
    assert "there is no job 'zzz'; `job:*part*` finds those" in capsys.readouterr().err
    assert cli("jobs", "state:never") == 0
    assert capsys.readouterr().out == "No such jobs; `nomaflow jobs` lists all.\n"


def test_jobs_are_searched(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """By words and by the keys of jobs."""
    capsys.readouterr()
    assert cli("jobs", "one", "day", "-tag:hr", "state:failed", "--json") == 0
    assert [card["id"] for card in json.loads(capsys.readouterr().out)["items"]] == ["load"]


def test_pages_are_joined_until_there_are_enough() -> None:
    """A search in logs may come back with few runs or none, and lead on."""

    class ThreePages:
        asked: list[tuple[int, str | None]] = []

        def runs_page(self, *, limit: int, cursor: str | None = None, **_: Any) -> Page[RunSummary]:
            self.asked.append((limit, cursor))
            items: list[Any] = [[1], [], [2, 3]][len(self.asked) - 1]
            return Page[RunSummary].model_construct(items=items, next_cursor=f"after {len(self.asked)}")

    page = runs._page(ThreePages(), 3, q="text:x", job=None, state=None)  # type: ignore[arg-type]
    assert (page.items, page.next_cursor) == ([1, 2, 3], "after 3")
    assert ThreePages.asked == [(3, None), (2, "after 1"), (2, "after 2")]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ([], []),
        (["runs", "-h"], ["runs", "-h"]),
        (["runs", "-tag:etl", "--json"], ["runs", "--json", "--", "-tag:etl"]),
        (["jobs", "a", "-enabled:no"], ["jobs", "a", "--", "-enabled:no"]),
        (["runs", "--", "-a=1"], ["runs", "--", "-a=1"]),
        (["run", "hello", "-p", "a=1"], ["run", "hello", "-p", "a=1"]),
    ],
)
def test_a_term_with_a_minus_is_no_option(typed: list[str], read: list[str]) -> None:
    """It goes behind the options; other commands are left alone."""
    assert with_terms_last(typed) == read
