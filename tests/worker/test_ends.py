"""How a step on a real worker ends, and what of it reaches the run's log."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from nomaflow.worker.pool import Worker
from nomaflow.worker.protocol import Message
from tests.fakes.context import file_connector
from tests.servers.postgresql import Server
from tests.worker.processes import Code, run, running, until, worker_at


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


async def test_what_a_function_returns_is_the_steps_output(code: Code) -> None:
    """Done, with its rows where it says how many; sync, asyncio and trio alike."""
    code.write("""
        def main(ctx, n): return {"rows_affected": n, "more": [1, None]}
        async def on_asyncio(ctx): return 3
        async def on_trio(ctx):
            import trio
            await trio.sleep(0)
    """)
    async with worker_at(code.home) as worker:
        assert (await run(worker, code.step(kwargs={"n": 5}))).end == {
            "done": {"output": {"rows_affected": 5, "more": [1, None]}, "rows_affected": 5}
        }
        assert (await run(worker, code.step("on_asyncio"))).end["done"]["rows_affected"] == 3
        trio_end = (await run(worker, code.step("on_trio", flavour="trio"))).end
        assert trio_end == {"done": {"output": {}, "rows_affected": None}}


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("raise ValueError('no such period')", "ValueError", "no such period"),
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        (
            "return object()",
            "TypeError",
            "steps:main returned a object; return a dict of JSON values, an int or nothing",
        ),
        ("return {'a': {1, 2}}", "TypeError", "returned a dict that is no JSON: "),
        ("return {'a': float('nan')}", "TypeError", "returned a dict that is no JSON: "),
        ("return {'a': 'x' * 2_000_000}", "TypeError", "steps:main returned more than 1024 KiB of JSON"),
        ("a = 1\n    for _ in range(40): a = [a]\n    return {'a': a}", "TypeError", "or more than 32 levels of it"),
        ("a = []; a.append(a); return {'a': a}", "TypeError", "returned a dict that is no JSON: "),
        ("raise ValueError('x' * 1_000_000)", "ValueError", "xxx"),
        ("raise ValueError('\\udcff')", "ValueError", "\\udcff"),
    ],
)
async def test_what_a_function_raises_fails_the_step(code: Code, body: str, kind: str, message: str) -> None:
    """With its type, message and traceback; the worker lives on and takes the next step."""
    code.write(f"def main(ctx):\n    {body}\ndef good(ctx): return 1\n")
    async with worker_at(code.home) as worker:
        failed = (await run(worker, code.step())).end["failed"]
        assert failed["type"] == kind
        assert message in failed["message"]
        assert len(failed["message"]) <= 65_536
        assert len(failed["traceback"]) <= 300_000
        # What is said of the value that came back has no place in their code.
        in_their_code = kind != "TypeError"
        assert ("steps.py" in failed["traceback"]) == in_their_code
        assert "nomaflow/" not in failed["traceback"]
        assert "done" in (await run(worker, code.step("good"))).end


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise NoRetry('the period is closed')", {"retry": False, "lasting": "the step says that it makes no sense"}),
        ("raise RetryAfter(120, 'busy')", {"retry": True, "retry_after": 120.0}),
        ("raise ConnectionResetError", {"retry": True}),
        ("return object()", {"retry": False, "lasting": "the code stays as it is"}),
        ("return {'a': float('nan')}", {"retry": False, "lasting": "the code stays as it is"}),
    ],
)
async def test_a_failed_step_says_whether_another_try_makes_sense(code: Code, body: str, said: Message) -> None:
    """By what it raised, or what it is; with how long to wait, or why not."""
    code.write(f"from nomaflow import NoRetry, RetryAfter\ndef main(ctx):\n    {body}\n")
    async with worker_at(code.home) as worker:
        failed = (await run(worker, code.step())).end["failed"]
    assert {key: value for key, value in failed.items() if key not in ("type", "message", "traceback")} == said


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        ("gone:main", "ModuleNotFoundError", "the module gone could not be imported: No module named 'gone'"),
        ("needy:main", "ModuleNotFoundError", "the module needy could not be imported: No module named 'pandaz'"),
        ("upset:main", "KeyError", "the module upset could not be imported: 'PERIOD'"),
        ("steps:gone", "AttributeError", "the module steps was imported, but has no function 'gone'"),
        ("steps:Holder.gone", "AttributeError", "the module steps was imported, but has no function 'Holder.gone'"),
        ("steps:NUMBER", "TypeError", "steps:NUMBER is a int, not a function"),
        (
            "steps:needs",
            "TypeError",
            "steps:needs(ctx, period) cannot be called: missing a required argument: 'period'",
        ),
        ("broken:main", "SyntaxError", "the module broken could not be imported: invalid syntax (broken.py, line 1)"),
    ],
)
async def test_a_callable_that_is_not_there_fails_the_step(code: Code, target: str, kind: str, message: str) -> None:
    """With what is missing, and which half of the name is wrong."""
    code.write("NUMBER = 1\nclass Holder: ...\ndef needs(ctx, period): ...\n")
    code.write("def main(:\n", "broken")
    code.write("import pandaz\n", "needy")
    code.write("import os\nPERIOD = os.environ['PERIOD']\n", "upset")
    module, _, function = target.partition(":")
    async with worker_at(code.home) as worker:
        failed = (await run(worker, code.step(function, module=module))).end["failed"]
    assert failed["type"] == kind
    assert message in failed["message"]
    # Nobody has written it until the next try; what a module raises may be gone by then.
    assert failed["retry"] is (target == "upset:main")


async def test_a_function_gets_the_kwargs_that_it_names(code: Code) -> None:
    """Job params are shared by all steps; who wants them all takes `**kwargs`."""
    code.write("""
        def main(ctx, a, *, b=5): return {"a": a, "b": b, "params": ctx.params}
        def everything(ctx, a, **kwargs): return {"a": a, **kwargs}
        class Holder:
            @staticmethod
            def inside(ctx, c): return {"c": c}
    """)
    kwargs = {"a": 1, "c": 2}
    async with worker_at(code.home) as worker:
        outputs = [
            (await run(worker, code.step(name, kwargs=kwargs))).end["done"]["output"]
            for name in ("main", "everything", "Holder.inside")
        ]
    assert outputs == [{"a": 1, "b": 5, "params": kwargs}, {"a": 1, "c": 2}, {"c": 2}]


async def test_dates_arrive_as_dates(code: Code) -> None:
    """They travel as text and are what they were declared to be when the function sees them."""
    code.write("""
        def main(ctx, day, moment, text, none):
            return {"got": [repr(day), repr(moment), repr(text), repr(none)]}
    """)
    kwargs = {"day": "2026-03-01", "moment": "2026-03-01T02:30:00+01:00", "text": "2026-03-01", "none": None}
    types = {"day": "date", "moment": "datetime", "text": "text", "none": "date"}
    async with worker_at(code.home) as worker:
        end = (await run(worker, code.step(kwargs=kwargs, types=types))).end
    assert end["done"]["output"]["got"] == [
        "datetime.date(2026, 3, 1)",
        "datetime.datetime(2026, 3, 1, 2, 30, tzinfo=datetime.timezone(datetime.timedelta(seconds=3600)))",
        "'2026-03-01'",
        "None",
    ]


async def test_a_step_knows_its_run(code: Code) -> None:
    """Ids, who started it, earlier outputs, progress."""
    code.write("""
        def main(ctx):
            ctx.progress(5, 10, text="half")
            earlier = ctx.previous_step("extract")
            return {"ids": [ctx.run_id, ctx.job_id, ctx.step_name, ctx.session_user, ctx.attempt],
                    "earlier": [earlier.output, earlier.status]}
    """)
    outputs = {"extract": {"output": {"rows": 7}, "status": "SUCCEEDED"}}
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step(outputs=outputs))
    assert told.end["done"]["output"] == {
        "ids": ["run_0000000000001", "job", "load", "user:test", 1],
        "earlier": [{"rows": 7}, "SUCCEEDED"],
    }
    assert told.other == [{"progress": {"done": 5, "total": 10, "unit": "rows", "text": "half"}}]


async def test_all_that_a_step_says_is_in_its_log(code: Code) -> None:
    """Prints, log records of the step and of libraries, warnings, C code, children: each with its level and stream."""
    code.write("""
        import ctypes, logging, os, subprocess, sys, warnings
        def main(ctx):
            print("printed"); print("no line end", end="")
            print("to stderr", file=sys.stderr)
            ctx.log.info("logged %s", 5); ctx.log.debug("not at INFO"); ctx.log.error("two\\nlines")
            logging.getLogger("library").warning("from a library")
            warnings.warn("old")
            os.write(1, b"C wrote to 1\\n"); os.write(2, b"C wrote to 2\\n")
            ctypes.CDLL(None).puts(b"C printed")
            subprocess.run(["echo", "a child"], check=True)
            subprocess.run(["echo", "a child that is given the stream"], stdout=sys.stdout, check=True)
        def unended(ctx): os.write(1, b"without a line end")
    """)
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step())
        told.lines += (await run(worker, code.step("unended"))).lines
    assert "done" in told.end
    for line in [
        ("INFO", "stdout", "printed"),
        ("INFO", "stdout", "no line end"),
        ("WARNING", "stderr", "to stderr"),
        ("INFO", "log", "logged 5"),
        ("ERROR", "log", "two"),
        ("ERROR", "log", "lines"),
        ("WARNING", "log", "from a library"),
        ("WARNING", "stderr", "C wrote to 1"),
        ("WARNING", "stderr", "C wrote to 2"),
        ("WARNING", "stderr", "C printed"),
        ("WARNING", "stderr", "a child"),
        ("WARNING", "stderr", "a child that is given the stream"),
        ("WARNING", "stderr", "without a line end"),
    ]:
        assert line in told.lines
    assert any("UserWarning: old" in text for text in told.texts)
    assert "not at INFO" not in told.texts


async def test_logging_that_the_step_sets_up_itself_leaves_the_runs_log_alone(code: Code) -> None:
    """A `dictConfig` as in many a script switches off the loggers that it does not name; `ctx.log` goes on."""
    code.write("""
        import logging.config
        def main(ctx):
            logging.config.dictConfig({
                "version": 1,
                "handlers": {"own": {"class": "logging.StreamHandler"}},
                "root": {"handlers": ["own"], "level": "INFO"},
            })
            ctx.log.info("by the context"); logging.getLogger("own").info("by its own logger")
        def later(ctx):
            import logging
            logging.getLogger("library").warning("in the next step")
    """)
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step())
        later = await run(worker, code.step("later"))
    assert ("INFO", "log", "by the context") in told.lines
    assert ("WARNING", "stderr", "by its own logger") in told.lines
    assert ("WARNING", "log", "in the next step") in later.lines


async def test_an_error_of_a_task_group_that_was_asked_to_stop_is_no_failure(code: Code) -> None:
    """Whatever way the request takes through the tasks."""
    code.write("""
        import asyncio
        async def part(ctx):
            ctx.log.info("begun")
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    ctx.checkpoint()
        async def main(ctx):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(part(ctx))
                tasks.create_task(part(ctx))
    """)
    async with worker_at(code.home) as worker, running(worker, code.step()) as told:
        await told.line("begun")
        await worker.send({"cancel": "user:ana"})
    assert told.end == {"canceled": "user:ana"}


async def test_a_hidden_async_function_is_awaited(code: Code) -> None:
    """A decorator that is no `async def` itself hides that what it wraps is one."""
    code.write("""
        import functools
        def audited(function):
            @functools.wraps(function)
            def inner(*args, **kwargs): return function(*args, **kwargs)
            return inner
        @audited
        async def main(ctx, n):
            import sniffio
            return {"n": n, "on": sniffio.current_async_library()}
    """)
    async with worker_at(code.home) as worker:
        assert (await run(worker, code.step(kwargs={"n": 1}))).end["done"]["output"] == {"n": 1, "on": "asyncio"}
        assert (await run(worker, code.step(kwargs={"n": 2}, flavour="trio"))).end["done"]["output"]["on"] == "trio"


async def test_debug_shows_more(code: Code) -> None:
    """The run's level is the level of its log."""
    code.write("def main(ctx): ctx.log.debug('seen')")
    async with worker_at(code.home) as worker:
        assert "seen" in (await run(worker, code.step(log_level="DEBUG"))).texts
        assert (await run(worker, code.step(log_level="INFO"))).texts == []


async def test_a_step_that_has_ended_has_its_whole_log(code: Code) -> None:
    """What was written just before the end comes before it, whichever way it takes; never with the next step's."""
    code.write("""
        import os
        def main(ctx, n):
            os.write(2, b"".join(b"line %d of %d\\n" % (i, n) for i in range(200)))
            print(f"printed by {n}")
    """)
    async with worker_at(code.home) as worker:
        for number in range(20):
            told = await run(worker, code.step(kwargs={"n": number}))
            assert sorted(told.texts) == sorted(
                [*(f"line {line} of {number}" for line in range(200)), f"printed by {number}"]
            )


async def test_many_long_lines_arrive(code: Code) -> None:
    """A step that prints faster than the engine reads is slowed down, not cut off; one line is cut at 64 KiB."""
    code.write("""
        def main(ctx):
            for _ in range(1500): print("ü" * 65_000)
            print("x" * 70_000)
            print("a\\rb\\rc")
    """)
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step())
    assert "done" in told.end
    assert [len(text) for text in told.texts[:1500]] == [65_000] * 1500
    assert told.texts[1500] == "x" * 65_536 + " … (4464 more characters)"
    assert told.texts[1501:] == ["c"]


async def test_threads_do_not_break_into_each_others_lines(code: Code) -> None:
    """Each thread's text is put together by itself."""
    code.write("""
        from concurrent.futures import ThreadPoolExecutor
        def say(n):
            for _ in range(100):
                print(*[n] * 5)
        def main(ctx):
            with ThreadPoolExecutor(4) as threads: list(threads.map(say, range(4)))
    """)
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step())
    assert sorted(told.texts) == sorted(f"{n} {n} {n} {n} {n}" for n in range(4) for _ in range(100))


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ("os._exit(3)", "the worker process ended with exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the worker process was ended by SIGKILL"),
        ("os.abort()", "the worker process was ended by SIGABRT"),
    ],
)
async def test_a_worker_that_dies_ends_its_step(code: Code, body: str, ended: str) -> None:
    """With how it died, and what it said before."""
    code.write(f"import os, signal\ndef main(ctx):\n    os.write(2, b'last words\\n'); {body}\n")
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step())
    assert told.end == {"died": ended}
    assert "last words" in told.texts


async def test_a_worker_does_not_see_the_engines_secrets(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the engine's environment it inherits a short list."""
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    code.write("import os\ndef main(ctx): return {'names': sorted(os.environ)}")
    async with worker_at(code.home) as worker:
        names = (await run(worker, code.step())).end["done"]["output"]["names"]
        environment = await trio.Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert "PATH" in names
    assert "DATABASE_PASSWORD" not in names
    assert b"s3cret" not in environment


async def test_a_connector_is_asked_for_when_it_is_used(code: Code) -> None:
    """The worker holds no password before; what the engine refuses is the step's error."""
    code.write("""
        def main(ctx): return {"n": ctx.get_connector("db").sync.scalar("SELECT 40 + :n", {"n": 2})}
        async def awaited(ctx):
            connector = await ctx.get_connector("db")
            return {"n": await connector.scalar("SELECT 1")}
    """)
    database: Message = {"connector": file_connector("sqlite", code.home / "x.db")}
    refusal: Message = {"error": "ana may not use the connector 'db'"}
    async with worker_at(code.home) as worker:
        assert (await _answered(worker, code.step(), database))["done"]["output"] == {"n": 42}
        assert (await _answered(worker, code.step("awaited"), database))["done"]["output"] == {"n": 1}
        failed = (await _answered(worker, code.step(), refusal))["failed"]
        other = (await _answered(worker, code.step(), {"connector": {"name": "db", "kind": "ldap"}}))["failed"]
    assert (failed["type"], failed["message"]) == ("ConnectorError", refusal["error"])
    assert other["message"] == "'db' is a connector of kind ldap; get_connector opens those of kind sql"


@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
async def test_rows_are_streamed_and_transactions_are_awaited(code: Code, flavour: str) -> None:
    """On either loop: a long table in batches, and all statements of a block or none."""
    code.write("""
        async def main(ctx):
            db = await ctx.get_connector("db")
            await db.execute("CREATE TABLE t (a INTEGER)")
            await db.execute("WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 2500) "
                             "INSERT INTO t SELECT a FROM n")
            sizes = [len(rows) async for rows in db.stream("SELECT a FROM t WHERE a > :a", {"a": 100}, size=1000)]
            async for rows in db.stream("SELECT a FROM t"):
                break
            try:
                async with db.transaction():
                    await db.execute("DELETE FROM t")
                    raise ValueError
            except ValueError:
                pass
            async with db.transaction() as inside:
                await inside.execute("DELETE FROM t WHERE a > 10")
            return {"sizes": sizes, "first": rows[0][0], "left": await db.scalar("SELECT count(*) FROM t")}
    """)
    step = code.step(flavour=flavour)
    step["connectors"] = {"db": {"connector": file_connector("sqlite", code.home / "x.db")}}
    async with worker_at(code.home) as worker:
        end = (await run(worker, step)).end
    assert end["done"]["output"] == {"sizes": [1000, 1000, 400], "first": 1, "left": 10}


async def test_what_is_made_to_last_is_told_before(code: Code) -> None:
    """Once a step: after a kill one then knows whether everything is undone."""
    code.write("""
        def main(ctx):
            database = ctx.get_connector("db").sync
            for _ in range(3): database.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
    """)
    step = code.step() | {"connectors": {"db": {"connector": file_connector("sqlite", code.home / "x.db")}}}
    async with worker_at(code.home) as worker:
        assert [(await run(worker, step)).other for _ in range(2)] == [[{"commits": True}]] * 2


async def test_the_servers_of_a_step_are_known_before_its_statements(code: Code, postgresql: Server) -> None:
    """A worker that is killed in the middle of one has told whom to ask what became of it."""
    code.write("""
        import os, signal
        def main(ctx):
            ctx.get_connector("db").sync.scalar("SELECT 1")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    step = code.step() | {"connectors": {"db": {"connector": postgresql.connector("db")}}}
    async with worker_at(code.home) as worker:
        told = await run(worker, step)
    assert "died" in told.end
    assert [message["server"]["connector"] for message in told.other if "server" in message] == ["db"]


async def _answered(worker: Worker, step: Message, answer: Message) -> Message:
    async with running(worker, step) as told:
        await until(lambda: bool(told.other or told.end))
        assert told.other[0]["ask"]["connector"] == "db"
        await worker.send({"answer": {"ask": told.other[0]["ask"]["ask"], **answer}})
    return told.end
