"""Both clients against the real API."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from pydantic import JsonValue

from nomaflow.client import AsyncClient, Client, Reset, calls, launches, schedules
from nomaflow.errors import (
    BadRequestError,
    EngineFailedError,
    EngineUnreachableError,
    InvalidError,
    JobBusyError,
    JobChangedError,
    JobExistsError,
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    RunFinishedError,
)
from nomaflow.launch.form import overrides
from nomaflow.wire import Event, RunState
from tests.client import home
from tests.client.home import Running, running
from tests.fakes.scripts import hang, ok
from tests.fakes.serving import serve_fake


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    """An engine whose step `load` works until it is released."""
    with running(tmp_path / "home", load=hang("working"), hello=ok("hello")) as served:
        yield served


@pytest.fixture
def client(served: Running) -> Iterator[Client]:
    """An admin's client."""
    with Client(served.url, served.token) as client:
        yield client


def test_a_run_from_launch_to_end(served: Running, client: Client) -> None:
    """Launched, followed, waited for and read again; only what differs from the saved values is an override."""
    answers: dict[str, JsonValue] = {
        "params.apps_id": 5,
        "params.mode": "fast",
        "steps.load.op_kwargs.full_refresh": True,
    }
    run = client.launch("load", overrides(client.form("load"), answers), reason="a test")
    origins = {name: value.origin for name, value in run.plan.steps[1].kwargs.items()}
    assert origins == {
        "apps_id": "override",
        "period": "saved",
        "mode": "saved",
        "full_refresh": "override",
        "options": "saved",
    }
    served.call(served.fake.release, run.id, "load")
    assert client.wait(run.id).state is RunState.SUCCEEDED
    lines = list(client.follow_logs(run.id))
    assert "working" in [line.text for line in lines]
    assert [line.seq for line in client.follow_logs(run.id, after=lines[1].seq)] == [line.seq for line in lines[2:]]
    assert client.logs(run.id, tail=1).lines == lines[-1:]
    assert [duration.run_id for duration in client.durations("load")] == [run.id]


def test_changes_by_name_are_laid_over_the_forms(client: Client) -> None:
    """Notebooks give values by name, Python's dates among them; what both change, the name's value wins."""
    form = client.form("load")
    given = overrides(form, {"params.apps_id": 5, "steps.load.op_kwargs.full_refresh": True})
    plan = client.plan(
        "load",
        given,
        params={"apps_id": 6, "period": date(2026, 2, 1)},
        steps={"load": {"op_kwargs": {"options": {"a": None}}}, "extract": {"enabled": False}},
        log_level="DEBUG",
    )
    assert plan.log_level == "DEBUG"
    extract, load = plan.steps
    assert not extract.runs
    assert load.values() == {
        "apps_id": 6,
        "period": "2026-02-01",
        "mode": "fast",
        "full_refresh": True,
        "options": {"a": None},
    }


def test_the_engines_refusals_are_its_errors(client: Client) -> None:
    """Each code becomes its class again, with its sentence and details."""
    run = client.launch("load")
    with pytest.raises(JobBusyError) as busy:
        client.launch("load")
    assert busy.value.run_id == run.id
    with pytest.raises(NotFoundError, match="there is no job"):
        client.job("nope")
    with pytest.raises(InvalidError) as invalid:
        client.plan("load", params={"apps_id": "five", "perod": 1})
    assert {detail["path"] for detail in invalid.value.details} == {"params.apps_id", "params.perod"}
    client.cancel(run.id)
    with pytest.raises(RunFinishedError):
        client.cancel(run.id)


def test_a_job_is_made_changed_switched_and_deleted(client: Client) -> None:
    """With the etag of what was seen, and never without."""
    made = client.create_job("new", toml=home.HELLO)
    with pytest.raises(JobExistsError):
        client.create_job("new", job={"steps": [{"name": "a", "type": "python", "callable": "a:b"}]})
    saved = client.save_job("new", toml=home.HELLO + "# more\n", if_match=made.etag)
    with pytest.raises(JobChangedError) as changed:
        client.save_job("new", toml=home.HELLO + "# other\n", if_match=made.etag)
    assert changed.value.details[0]["current"] == saved.toml
    assert not client.disable("new", reason="holiday").enabled
    assert client.enable("new").enabled
    client.delete_job("new", if_match=client.job("new").etag)
    assert [card.id for card in client.jobs()] == ["hello", "load"]
    problems = client.check_job("nonsense").problems
    assert problems[0].line == 1


def test_the_list_of_runs_is_read_page_by_page(client: Client) -> None:
    """The iterator asks for the next page when it needs it."""
    made = [client.launch("hello").id for _ in range(5)]
    listed = client.runs(job="hello", limit=2)
    assert [run.id for run in listed] == made[::-1]
    assert not list(client.runs(state=RunState.FAILED))
    assert len(client.runs_page(limit=3).items) == 3


def test_the_calendar_is_read_page_by_page(client: Client) -> None:
    """As far as it is asked for; a fire is left out, and let in again."""
    client.create_job("hourly", toml=home.HELLO + '[[schedules]]\ncron = "0 * * * *"\n')
    fires = [slot.scheduled_at for slot, _ in zip(client.schedule(job="hourly", limit=2), range(5), strict=False)]
    assert {later - earlier for earlier, later in pairwise(fires)} == {timedelta(hours=1)}
    assert client.preview("0 * * * *", count=5).fires == fires
    assert client.skip("hourly", fires[0]).reason == "left out as api:admin asked"
    assert client.what_if("hourly", "@daily", days=1).fires_before == 24
    client.unskip("hourly", fires[0])
    with pytest.raises(NotFoundError):
        client.unskip("hourly", fires[0])


def test_events_begin_with_a_reset(served: Running, client: Client) -> None:
    """Whoever reads the lists at a Reset and then applies the events has missed nothing."""
    events = client.events()
    assert next(events) == Reset()
    run = client.launch("hello")
    for event in events:
        assert isinstance(event, Event)
        if event.run_id == run.id and event.record.get("state") == "SUCCEEDED":
            return


def test_a_person_signs_in_and_has_only_their_rights(client: Client) -> None:
    """A session's token stands for the person, over the same connections."""
    session = client.sign_in("bea", home.PASSWORD)
    bea = client.with_token(session.token)
    assert bea.me().account == "bea"
    assert client.me().account == "admin"
    with pytest.raises(NotAllowedError):
        bea.launch("hello")
    again = client.with_token(client.sign_in(code=bea.sign_in_link().code).token)
    assert again.me().account == "bea"
    bea.sign_out()
    with pytest.raises(NotSignedInError):
        bea.jobs()
    with pytest.raises(NotSignedInError):
        client.sign_in("bea", "wrong password")


def test_the_rest_of_the_reading_verbs(client: Client) -> None:
    """Each of them reads what the engine sends."""
    assert client.health().ok
    assert [connector.name for connector in client.connectors(kind="sql")] == ["jde"]
    assert client.test_connector("jde").ok
    assert "sql_copy" in {kind.type for kind in client.step_types()}
    assert client.why("hello").why
    assert not client.reload().changed
    assert [card.id for card in client.jobs(tag="etl")] == ["load"]


def test_the_surface_is_what_a_run_says_it_came_from(served: Running) -> None:
    """The command line's runs are cli's."""
    with Client(served.url, served.token, surface="cli") as client:
        assert client.launch("hello").triggered_by == "cli:admin"


# httpx leaves generators of its own to the collector when a stream is closed early; the connection is closed though.
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
async def test_the_async_client_does_the_same(tmp_path: Path) -> None:
    """One description of each verb serves both, so a round trip of each kind shows it."""
    engine = home.engine(tmp_path / "home", load=hang("working"))
    async with serve_fake(engine) as served, AsyncClient(served.url, served.token) as client:
        run = await client.launch("load", params={"apps_id": 5})
        await engine.release(run.id, "load")
        assert (await client.wait(run.id)).state is RunState.SUCCEEDED
        assert [line.text async for line in client.follow_logs(run.id)].count("working") == 1
        assert [summary.id async for summary in client.runs(limit=1)] == [run.id]
        async with aclosing(client.events()) as events:
            assert await anext(events) == Reset()
        with pytest.raises(NotFoundError):
            await client.job("nope")


def test_the_async_client_works_on_asyncio(served: Running) -> None:
    """Slack's and Jupyter's loops are asyncio's."""
    import asyncio

    async def main() -> list[str]:
        async with AsyncClient(served.url, served.token) as client:
            run = await client.launch("hello")
            lines = [line.text async for line in client.follow_logs(run.id)]
            await client.wait(run.id)
            return lines

    assert "hello" in asyncio.run(main())


def verbs(client: type) -> dict[str, inspect.Signature]:
    """Public methods and their parameters."""
    functions = inspect.getmembers(client, inspect.isfunction)
    return {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}


def test_both_clients_have_every_verb() -> None:
    """What is described can be called, on both, with the same arguments and a docstring."""
    blocking, asynchronous = verbs(Client), verbs(AsyncClient)
    assert {name: list(signature.parameters) for name, signature in blocking.items()} == {
        name: list(signature.parameters) for name, signature in asynchronous.items()
    }
    here = {
        name: function
        for module in (calls, launches, schedules)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
    }
    names = {name for name, each in here.items() if "Call[" in str(inspect.signature(each).return_annotation)}
    assert {"replay", "skip"} <= names
    assert {name for name in names if not name.startswith("_")} <= set(blocking)
    assert all(getattr(Client, name).__doc__ for name in blocking)
    assert str(blocking["launch"].return_annotation) == "wire.Run"


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    """A client of an engine that is one function."""
    return Client("http://engine", "secret-token", transport=httpx.MockTransport(answer))


def test_no_engine_is_one_sentence_that_says_what_to_do() -> None:
    """It names the address and the command."""
    with pytest.raises(EngineUnreachableError, match=r"nothing answers at http://127.0.0.1:9; .*`nomaflow up`"):
        Client("http://127.0.0.1:9", "x").jobs()

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(EngineUnreachableError, match="did not answer in time"):
        answering(slow).jobs()


def test_a_lost_answer_to_a_launch_is_asked_for_again_with_the_same_key() -> None:
    """So the job runs once; a new launch has a new key."""
    keys = []

    def breaks(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        raise httpx.ReadError("lost", request=request)

    for _ in range(2):
        with pytest.raises(EngineUnreachableError):
            answering(breaks).launch("hello")
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_what_is_not_safe_to_repeat_is_not_repeated() -> None:
    """A save whose answer is lost may have happened."""
    tries = []

    def breaks(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.RemoteProtocolError("lost", request=request)

    with pytest.raises(EngineUnreachableError):
        answering(breaks).save_job("hello", toml="", if_match="x")
    assert len(tries) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"items": 3}', b'{"items": [{"id": 1}]}'])
def test_a_foreign_answer_is_no_traceback_of_pydantic(content: bytes) -> None:
    """Something else listens there, or another version of the engine."""
    with pytest.raises(EngineFailedError, match="this client cannot read"):
        answering(lambda _: httpx.Response(200, content=content)).jobs()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_foreign_refusal_asks_whether_the_address_is_right(status: int) -> None:
    """A proxy's or another server's page."""
    with pytest.raises(EngineFailedError, match=rf"answered {status} .*is the address right\?"):
        answering(lambda _: httpx.Response(status, content=b"<html>")).jobs()


def test_an_unknown_code_keeps_its_sentence() -> None:
    """A newer engine may have errors that this client does not know."""
    body = {"error": {"code": "too_blue", "message": "it is too blue", "details": [{"message": "very", "new": 1}]}}
    with pytest.raises(EngineFailedError, match="it is too blue") as caught:
        answering(lambda _: httpx.Response(418, json=body)).jobs()
    assert caught.value.details == [{"message": "very"}]


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", {1: 2}, {"a": {3}}])
def test_a_value_that_is_no_json_is_an_invalid_error(value: object) -> None:
    """Nothing is sent."""
    with pytest.raises(InvalidError):
        answering(lambda _: pytest.fail("sent")).launch("load", params={"x": value})
    with pytest.raises(InvalidError):
        answering(lambda _: pytest.fail("sent")).launch("load", steps={"load": {"enabled": 1}})


@pytest.mark.parametrize("job_id", ["..", ".", "a/../b", "a?b=c", "a#b", "é", "%2e%2e", ""])
def test_a_name_is_one_part_of_the_path(job_id: str) -> None:
    """Whatever it holds, the request goes to the route of jobs."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404, json={"error": {"code": "not_found", "message": "no"}})

    with pytest.raises(NotFoundError):
        answering(note).job(job_id)
    prefix, _, rest = seen[0].partition(b"/api/v1/jobs/")
    assert not prefix
    assert b"/" not in rest
    assert b"?" not in rest


def test_the_token_is_in_no_repr_and_goes_along() -> None:
    """Tracebacks and notebooks show clients."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"items": []})

    client = answering(note)
    client.jobs()
    assert "secret" not in f"{client!r} {vars(client)!r}"
    assert seen[0]["Authorization"] == "Bearer secret-token"
    assert "X-Nomaflow-Surface" not in seen[0]


def test_where_the_address_and_the_token_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, then the environment, then the home's admin token, which goes to this machine's engine alone."""
    (tmp_path / ".nomaflow").mkdir()
    (tmp_path / ".nomaflow" / "admin.token").write_text("nfa_home\n")
    seen: list[tuple[str, str | None]] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append((f"{request.url.scheme}://{request.url.netloc.decode()}", request.headers.get("Authorization")))
        return httpx.Response(200, json={"items": []})

    def ask(url: str | None = None, token: str | None = None) -> None:
        Client(url, token, home=tmp_path, transport=httpx.MockTransport(note)).jobs()

    ask()
    ask("http://other:8600/")
    monkeypatch.setenv("NOMAFLOW_URL", "http://env:1")
    ask()
    monkeypatch.setenv("NOMAFLOW_TOKEN", "from-env")
    ask()
    ask("http://arg:2", "from-arg")
    assert seen == [
        ("http://127.0.0.1:8600", "Bearer nfa_home"),
        ("http://other:8600", None),
        ("http://env:1", None),
        ("http://env:1", "Bearer from-env"),
        ("http://arg:2", "Bearer from-arg"),
    ]


def test_the_homes_engine_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it listens; its token goes there, however this machine is named, and nowhere else."""
    monkeypatch.delenv("NOMAFLOW_URL", raising=False)
    monkeypatch.delenv("NOMAFLOW_TOKEN", raising=False)
    (tmp_path / ".nomaflow").mkdir()
    (tmp_path / ".nomaflow" / "admin.token").write_text("nfa_home\n")
    (tmp_path / ".nomaflow" / "engine.url").write_text("http://127.0.0.1:8900\n")
    seen: list[tuple[str, str | None]] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.netloc.decode(), request.headers.get("Authorization")))
        return httpx.Response(401, json={"error": {"code": "not_signed_in", "message": "sign in"}})

    def ask(url: str | None = None, token: str | None = None) -> str:
        with pytest.raises(NotSignedInError) as refused:
            Client(url, token, home=tmp_path, transport=httpx.MockTransport(refuse)).jobs()
        return refused.value.message

    for url in (None, "http://localhost:8900", "http://localhost:8600"):
        assert "answers, but not to this home's token: it serves another home" in ask(url)
    assert ask("http://127.0.0.1:8901").startswith("there is no token for http://127.0.0.1:8901; give one with --token")
    assert ask(None, "mine") == "sign in"
    assert seen == [
        ("127.0.0.1:8900", "Bearer nfa_home"),
        ("localhost:8900", "Bearer nfa_home"),
        ("localhost:8600", "Bearer nfa_home"),
        ("127.0.0.1:8901", None),
        ("127.0.0.1:8900", "Bearer mine"),
    ]


@pytest.mark.parametrize("url", ["localhost:8600", "ftp://x", "http://", "nonsense", "http://[", "http://a b"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidError, match="is no address of an engine"):
        Client(url)
    with pytest.raises(InvalidError, match="the token has characters"):
        Client("http://x", "tökén")


def test_a_bad_body_is_the_engines_word(client: Client) -> None:
    """What the engine cannot take comes back as its own error."""
    with pytest.raises(BadRequestError, match="Idempotency-Key"):
        client.launch("hello", idempotency_key="x" * 200)
