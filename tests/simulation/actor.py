"""The people of a simulated world: they launch, cancel, replay, pause, skip, edit and look, all by the seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import trio

from nomaflow.engine.assembly import Assembled
from nomaflow.engine.model import Actor
from nomaflow.engine.query import Idempotency, RunQuery, SlotQuery
from nomaflow.launch.overrides import Launch, Replay
from nomaflow.wire import JobChange, Run, RunSummary, SlotChoice, Toggle
from tests.simulation import homes
from tests.simulation.evidence import Call, Seen
from tests.simulation.world import World

ANA = Actor("ana", "web")
BOB = Actor("bob", "api")
ADMIN = Actor("admin", "cli")


class People:
    """Those who work with the engine. What they do overlaps, since an answer may take long."""

    def __init__(self, world: World, nursery: trio.Nursery) -> None:
        self._world, self._nursery = world, nursery
        self._draw: random.Random = world.draw("people")
        self._known_runs: list[RunSummary] = []
        self._number = 0
        self._meant = world.spec.jobs

    async def work(self, until: float) -> None:
        """Do something now and then, up to a moment."""
        gap = self._world.spec.pace.seconds / 18
        while True:
            await trio.sleep(self._draw.expovariate(1 / gap))
            if trio.current_time() >= until:
                return
            if self._draw.random() < 0.3:
                # What fires does so then, too.
                await trio.sleep(60 - self._world.now().timestamp() % 60)
            for _ in range(self._draw.choice([1, 1, 1, 2, 3])):
                self._nursery.start_soon(self._one())

    def _one(self) -> Callable[[], Awaitable[object]]:
        verbs: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (7, self.launch),
            (1, self.launch_with_key),
            (5, self.cancel),
            (2, self.replay),
            (2, self.toggle),
            (2, self.pause),
            (3, self.skip),
            (1, self.unskip),
            (3, self.save),
            (3, self.edit_by_hand),
            (2, self.break_file),
            (1, self.delete_and_create),
            (2, self.change_settings),
            (4, self.look),
        ]
        return self._draw.choices([verb for _, verb in verbs], [weight for weight, _ in verbs])[0]

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _job(self) -> str:
        return self._draw.choice(list(self._meant))

    # runs

    async def launch(self) -> None:
        """Start a run by hand, sometimes with other values, and sometimes two at once."""
        job_id = self._job()
        for _ in range(self._draw.choice([1, 1, 1, 2])):
            self._nursery.start_soon(self._launch, job_id, None)

    async def launch_with_key(self) -> None:
        """Start a run with a key, and ask again with the same one: no answer is no reason not to know."""
        job_id, key = self._job(), f"key {self._next()}"
        first = await self._launch(job_id, key)
        await trio.sleep(self._draw.choice([0, 1, 30]))
        if first is not None and first.answer != "refused":
            await self._launch(job_id, key)

    async def _launch(self, job_id: str, key: str | None) -> Call:
        reason = key or f"launch {self._next()}"
        steps = [step.name for step in self._meant[job_id].steps] if job_id in self._meant else []
        changes = {}
        if key is None and steps and self._draw.random() < 0.25:
            changes = {"steps": {self._draw.choice(steps): {"enabled": False}}}
        launch = Launch.model_validate({"reason": reason, **changes})
        given = Idempotency("ana", f"/jobs/{job_id}/runs", key, "hash") if key else None
        return await self._world.call(
            "launch",
            lambda here: here.engine.launch(job_id, launch, ANA, given),
            job_id,
            reason=reason,
            key=key,
        )

    async def cancel(self) -> None:
        """Stop a run that goes on, if there is one; sometimes twice, the second time by force."""
        await self.list_runs()
        going = [run for run in self._known_runs if not run.state.is_terminal]
        runs = going or self._known_runs[:3]
        if not runs:
            return
        run = self._draw.choice(runs)
        force = self._draw.random() < 0.4
        await self._cancel(run, force)
        if not force and self._draw.random() < 0.5:
            await trio.sleep(self._draw.choice([0.5, 4, 14]))
            await self._cancel(run, True)

    async def _cancel(self, run: RunSummary, force: bool) -> None:
        reason = f"cancel {self._next()}"
        await self._world.call(
            "cancel",
            lambda here: here.engine.cancel(run.id, BOB, force=force, reason=reason),
            run.job_id,
            run_id=run.id,
            force=force,
            reason=reason,
        )

    async def replay(self) -> None:
        """Run an ended run again."""
        await self.list_runs()
        over = [run for run in self._known_runs if run.state.is_terminal]
        if not over:
            return
        run, reason = self._draw.choice(over), f"replay {self._next()}"
        only = self._draw.choice([None, None, "failed"])
        replay = Replay.model_validate({"reason": reason, **({"only": only} if only else {})})
        await self._world.call(
            "replay",
            lambda here: here.engine.replay(run.id, replay, ANA, None),
            run.job_id,
            reason=reason,
            replay_of=run.id,
            key=None,
        )

    # schedules

    async def toggle(self) -> None:
        """Switch a job off or on."""
        await self.set_enabled(self._job(), self._draw.random() < 0.6)

    async def set_enabled(self, job_id: str, enabled: bool, **more: object) -> Call:
        """Switch a job."""
        toggle = Toggle.model_validate({"enabled": enabled, "reason": f"toggle {self._next()}", **more})
        call = await self._world.call(
            "set_enabled", lambda here: here.engine.set_enabled(job_id, toggle, ADMIN), job_id, enabled=enabled, **more
        )
        if call.answer == "done":
            self._meant[job_id] = replace(self._meant[job_id], enabled=enabled)
        return call

    async def pause(self) -> None:
        """Switch a job off for a while."""
        seconds = self._draw.choice([5, 100, 0.05 * self._world.spec.pace.seconds])
        await self.set_enabled(self._job(), False, until=self._world.now() + timedelta(seconds=seconds))

    async def skip(self) -> None:
        """Leave out a fire that is to come."""
        if (found := await self._coming()) is not None:
            job_id, choice = found
            await self._world.call("skip", lambda here: here.engine.skip(job_id, choice, ANA), job_id, choice=choice)

    async def unskip(self) -> None:
        """Let a fire happen after all."""
        skipped = [call for call in self._world.evidence.calls if call.verb == "skip" and call.answer == "done"]
        if not skipped:
            return
        call = self._draw.choice(skipped)
        job_id, choice = call.job_id, call.given["choice"]
        assert job_id is not None
        await self._world.call("unskip", lambda here: here.engine.unskip(job_id, choice, ANA), job_id, choice=choice)

    async def _coming(self) -> tuple[str, SlotChoice] | None:
        now = self._world.now()
        query = SlotQuery(now, now + timedelta(seconds=self._world.spec.pace.seconds), limit=60)
        call = await self._world.call("calendar", lambda here: here.engine.calendar(query))
        due = [slot for slot in call.result.items if slot.state == "DUE"] if call.answer == "done" else []
        if not due:
            return None
        slot = self._draw.choice(due[:12])
        return slot.job_id, SlotChoice(schedule=slot.schedule, scheduled_at=slot.scheduled_at)

    # definitions

    async def save(self) -> None:
        """Change a job through the API."""
        job_id = self._job()
        spec = homes.edited(self._draw, self._meant[job_id], self._world.spec.pace)
        await self.save_as(spec)

    async def save_as(self, spec: homes.JobSpec) -> Call:
        """Save a job's text through the API, over whatever is there."""
        path, change = self._world.path(spec.id), JobChange(toml=spec.text())

        async def ask(here: Assembled) -> object:
            etag = (await here.engine.job(spec.id)).etag if path.exists() else ""
            return await here.engine.save_job(spec.id, change, etag, ADMIN)

        call = await self._world.call("save", ask, spec.id, text=spec.text())
        if call.answer == "done":
            self._meant[spec.id] = spec
        return call

    async def edit_by_hand(self) -> None:
        """Change a job's file with an editor, and sometimes have it read."""
        job_id = self._job()
        spec = homes.edited(self._draw, self._meant[job_id], self._world.spec.pace)
        self.put(spec)
        await self._read_soon()

    def put(self, spec: homes.JobSpec) -> None:
        """Write a job's file by hand."""
        self._meant[spec.id] = spec
        self._world.write(spec.id, spec.text())
        self._world.evidence.saw("a file was edited by hand")

    async def break_file(self) -> None:
        """Spoil a job's file, and mend it after a while."""
        job_id = self._job()
        spec = replace(self._meant[job_id], broken=self._draw.choice(homes.BROKEN))
        self.put(spec)
        await self._read_soon()
        await trio.sleep(self._draw.choice([0, 0.02, 0.1]) * self._world.spec.pace.seconds)
        if self._meant.get(job_id) == spec:
            self.put(replace(spec, broken=""))
            await self._read_soon()

    async def _read_soon(self) -> None:
        if self._draw.random() < 0.75:
            await trio.sleep(self._draw.choice([0, 1, 45]))
            await self.reload()

    async def reload(self) -> Call:
        """Have all files read."""
        return await self._world.call("reload", lambda here: here.engine.reload(ADMIN))

    async def delete_and_create(self) -> None:
        """Delete a job, and make it anew after a while."""
        job_id = self._job()
        spec = replace(self._meant[job_id], broken="")

        async def ask(here: Assembled) -> None:
            await here.engine.delete_job(job_id, (await here.engine.job(job_id)).etag, ADMIN)

        await self._world.call("delete", ask, job_id)
        await trio.sleep(self._draw.choice([0, 0.01, 0.05]) * self._world.spec.pace.seconds)
        change = JobChange(id=job_id, toml=spec.text())
        call = await self._world.call("create", lambda here: here.engine.create_job(change, ADMIN), job_id)
        if call.answer == "done":
            self._meant[job_id] = spec

    async def change_settings(self) -> None:
        """Change how much runs at once, or the home's zone."""
        spec = self._world.spec
        what = self._draw.choice(["parallel", "parallel", "connector", "zone"])
        if what == "parallel":
            spec.max_parallel_runs = self._draw.choice([1, 2, 3, 8])
        elif what == "connector":
            spec.max_runs = self._draw.choice([1, 2])
        else:
            spec.timezone = self._draw.choice(homes.ZONES[:3])
        self._world.write(None, spec.settings())
        await trio.sleep(self._draw.choice([0, 2]))
        await self.reload()

    # looking

    async def list_runs(self) -> None:
        """Look at the newest runs."""
        call = await self._world.call("runs", lambda here: here.engine.runs(RunQuery(limit=30)))
        if call.answer == "done":
            self._known_runs = call.result.items

    async def look(self) -> None:
        """Look at runs, whole, and at the cards."""
        await self.list_runs()
        runs = []
        for summary in self._draw.sample(self._known_runs, min(4, len(self._known_runs))):
            run_id = summary.id
            call = await self._world.call("run", partial(_run, run_id))
            if call.answer == "done":
                runs.append(call.result)
        living = self._world.living
        if living is None or not living.takes_calls or living.running is None:
            return
        going = [each.record() for each in living.running.runner.all_active()]
        active = frozenset(run.id for run in going)
        cards = living.running.engine.cards()
        self._world.evidence.seen.append(
            Seen(trio.current_time(), living.record.number, (*runs, *going), active, tuple(cards))
        )


async def _run(run_id: str, here: Assembled) -> Run:
    return await here.engine.run(run_id)
