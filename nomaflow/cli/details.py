"""One run: its steps, its parameters, and how a cancel went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nomaflow.cli.naming import resolve
from nomaflow.cli.options import AsJson, HomeFolder, RunName, Token, Url, open_client, print_json
from nomaflow.cli.show import Listing, duration, folded, local_time, shown, state_text, why_skipped
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from nomaflow.wire import Receipt, Run, StepRun


def show(
    run: RunName, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()
) -> None:
    """Show one run: its steps, its parameters, and how it ended."""
    with open_client(url, token, home) as client:
        whole = client.run(resolve(client, run))
    if as_json:
        print_json(whole)
        return
    _print_head(whole)
    _print_steps(whole)
    _print_params(whole)


def how_canceled(run: Run) -> str:
    """How a canceled run ended, from the receipt of its cancel."""
    receipt = run.receipt
    if receipt is None or run.finished_at is None:
        return f"{run.id} of {run.job_id} is {run.state}"
    seconds = (run.finished_at - receipt.requested_at).total_seconds()
    took = f"{seconds:.2f} s" if seconds < 10 else duration(seconds)
    # The request may come when the step has done its work.
    word = "canceled" if run.state == "CANCELED" else f"{run.state}, not canceled,"
    return f"{run.id} of {run.job_id} {word} after {took}: {_last_rung(receipt, run.steps)}"


def which_fire(run: Run) -> str:
    """The fire that started a run, and how much later it began; nothing for a run that a person started."""
    if run.scheduled_at is None:
        return ""
    which = f" of the schedule {run.schedule}" if run.schedule not in (None, "default") else ""
    late = f", began {duration(run.late_seconds)} later" if run.late_seconds is not None else ""
    return f"{local_time(run.scheduled_at)}{which}{late}"


def _last_rung(receipt: Receipt, steps: list[StepRun]) -> str:
    if not receipt.rungs:
        last = next((step for step in reversed(steps) if step.attempt), None)
        if last is None:
            return "no step ran"
        times = {1: "once", 2: "twice"}.get(last.attempt, f"{last.attempt} times")
        return f"no step was going on; {last.name} had run {times}"
    rung = receipt.rungs[-1].rung
    return "the step ended by itself" if rung == "soft cancel" else f"killed by {rung}"


def _print_head(run: Run) -> None:
    now = utc_now()
    facts = {
        "state": ": ".join(part for part in (run.state, run.reason or run.wait_reason) if part),
        "by": run.triggered_by,
        "fire": which_fire(run),
        "queued": local_time(run.queued_at),
        "started": local_time(run.started_at),
        "ended": local_time(run.finished_at),
        "took": _length(run.started_at, run.finished_at, now),
        "rows": f"{run.rows_affected:,}" if run.rows_affected is not None else "",
        "log level": run.log_level,
        "replay of": run.replay_of or "",
        "called by": run.parent_run or "",
        "cancel": _cancel_text(run.receipt) if run.receipt else "",
    }
    typer.echo(f"{run.id} of {run.job_id}")
    for name, fact in facts.items():
        if fact:
            typer.echo(folded(f"  {name:<9}  {shown(fact)}", indent=" " * 13))


def _cancel_text(receipt: Receipt) -> str:
    reason = f", because: {receipt.reason}" if receipt.reason else ""
    how = "; ".join(f"{rung.rung}: {rung.result}" for rung in receipt.rungs)
    rolled_back = {"True": "rolled back", "False": "not rolled back"}.get(str(receipt.rolled_back))
    left = f"still there: {', '.join(receipt.survivors)}" if receipt.survivors else receipt.proof
    parts = [f"asked by {receipt.requested_by}{' with force' if receipt.force else ''}{reason}", how, rolled_back, left]
    return "; ".join(part for part in parts if part)


def _print_steps(run: Run) -> None:
    now = utc_now()
    rows = Listing(
        *("STEP", "STATE", "TOOK", "ROWS", "TRIES", "WHY"),
        whole=["STEP", "STATE", "TOOK", "ROWS", "TRIES"],
        optional=["TRIES"],
    )
    for step in run.steps:
        rows.add(
            step.name,
            state_text("Skipped" if _is_skipped(step) else step.state),
            _length(step.started_at, step.finished_at, now),
            f"{step.rows_affected:,}" if step.rows_affected is not None else "",
            str(step.attempt or ""),
            shown(f"{step.error.type}: {step.error.message}" if step.error else why_skipped(step.reason)),
        )
    typer.echo()
    rows.print()
    for step in run.steps:
        # In the table the sentence may have been cut.
        if step.error:
            tried = f" after {step.attempt} tries" if step.attempt > 1 else ""
            typer.echo(folded(f"\n{step.name} failed{tried}: {step.error.type}: {shown(step.error.message)}"))


def _print_params(run: Run) -> None:
    planned = [(step.name, name, value) for step in run.plan.steps if step.runs for name, value in step.kwargs.items()]
    if not planned:
        return
    rows = Listing("STEP", "PARAMETER", "VALUE", "FROM", whole=["STEP", "PARAMETER", "FROM"])
    last = ""
    for step, name, value in planned:
        marked = state_text("override") if value.origin == "override" else value.origin
        text = json.dumps(value.value, ensure_ascii=False)
        rows.add("" if step == last else step, name, shown(text), marked)
        last = step
    typer.echo()
    rows.print()


def _is_skipped(step: StepRun) -> bool:
    return step.state == "CANCELED" and (step.reason or "").startswith("skipped")


def _length(start: datetime | None, end: datetime | None, now: datetime) -> str:
    return duration(((end or now) - start).total_seconds()) if start else ""


COMMANDS = (show,)
