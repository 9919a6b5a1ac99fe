"""One seed, from its home to what is seen from outside at the end."""

from __future__ import annotations

import os
import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.query import LogQuery, RunQuery, SlotQuery
from tests.simulation import homes
from tests.simulation.actor import People
from tests.simulation.disk import Taped
from tests.simulation.evidence import Dump, Evidence
from tests.simulation.faults import Faults
from tests.simulation.shortcuts import DAY, in_order, shortened
from tests.simulation.world import World, WreckedError, opened

ALL_OVER_SECONDS = 150 * DAY
"""What takes longer than that, when nothing is wrong any more, never ends."""

MOST_EFFECTS = 1000
"""Nor does what begins so many more steps when all jobs are off."""


def simulate(seed: int, tape: list[Taped] | None = None) -> Evidence:
    """Live one world through; on the tape is what its stores were given."""
    spec = homes.home(random.Random(f"{seed} home"))
    memory = tempfile.TemporaryDirectory(prefix="simulated-", dir=_memory())
    with shortened(spec.pace.look_seconds), in_order(seed), memory as folder:
        world = World(seed, spec, Path(folder))
        world.disk.tape = tape
        world.home.jobs_dir.mkdir()
        world.home.make_state_dir()
        try:
            trio.run(_lived, world, clock=trio.testing.MockClock(autojump_threshold=0))
        except* WreckedError:
            world.evidence.dumps.clear()
    return world.evidence


def _memory() -> str | None:
    """A folder in memory, where there is one: renaming a file on a disk takes milliseconds."""
    folder = "/dev/shm"
    return folder if os.access(folder, os.W_OK) else None


async def _lived(world: World) -> None:
    spec = world.spec
    world.write(None, spec.settings())
    for job in spec.jobs.values():
        world.write(job.id, job.text())
    async with opened(world), trio.open_nursery() as nursery:
        people, faults = People(world, nursery), Faults(world)
        await world.takes_calls()
        until = spec.pace.seconds
        nursery.start_soon(faults.happen, until)
        await people.work(until)
        await _end(world, people, faults)
        nursery.cancel_scope.cancel()


async def _end(world: World, people: People, faults: Faults) -> None:
    """Trouble is over: everything due comes to its end, and nothing is lost by a clean stop."""
    faults.calm()
    await world.takes_calls()
    # What has gathered up is to be worked off soon.
    world.spec.max_parallel_runs = 8
    world.write(None, world.spec.settings())
    for job in list(world.spec.jobs.values()):
        people.put(replace(job, broken=""))
    await people.reload()
    world.evidence.calm = trio.current_time()
    await trio.sleep(60 + 2.2 * world.spec.pace.look_seconds)
    for job_id in list(world.spec.jobs):
        await people.set_enabled(job_id, False)
    await _all_over(world)
    world.note_cursors()
    await _dump(world)
    assert world.living is not None
    world.living.stopping.asked.set()
    await trio.sleep(0.5)
    await world.takes_calls()
    await _dump(world)
    world.is_over = True


async def _dump(world: World) -> None:
    world.is_looked_at = True
    world.evidence.dumps.append(await dumped(world))
    world.is_looked_at = False


async def _all_over(world: World) -> None:
    most = len(world.evidence.effects) + MOST_EFFECTS
    active: list[ActiveRun] = []
    with trio.move_on_after(ALL_OVER_SECONDS):
        while len(world.evidence.effects) < most:
            living = world.living
            assert living is not None
            assert living.running is not None
            active = living.running.runner.all_active()
            if not active:
                return
            for each in active[:1]:
                await each.ended.wait()
    world.evidence.unended = [each.run.id for each in active]


async def dumped(world: World) -> Dump:
    """The whole state, as the engine's verbs show it."""
    living = world.living
    assert living is not None
    assert living.running is not None
    engine = living.running.engine
    dump = Dump(trio.current_time(), world.now())
    cursor: str | None = None
    while True:
        page = await engine.runs(RunQuery(limit=500, cursor=cursor))
        for summary in page.items:
            dump.runs[summary.id] = await engine.run(summary.id)
            lines, after = [], 0
            while True:
                log = await engine.log(summary.id, LogQuery(after=after, limit=500))
                lines += log.lines
                after = log.next
                if len(log.lines) < 500:
                    break
            dump.logs[summary.id] = lines
        cursor = page.next_cursor
        if cursor is None:
            break
    far = timedelta(days=400)
    query = SlotQuery(world.spec.start - far, world.spec.start + far, limit=500)
    while True:
        slots = await engine.calendar(query)
        dump.slots += [slot for slot in slots.items if slot.state != "DUE"]
        if slots.next_cursor is None or any(slot.state == "DUE" for slot in slots.items):
            break
        query = replace(query, cursor=slots.next_cursor)
    dump.cards = {card.id: card for card in engine.cards()}
    return dump
