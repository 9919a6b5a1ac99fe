"""What a caller can get wrong, and what it is told: the right code and one sentence."""

from __future__ import annotations

import json

import pytest

from nomaflow.api.policy import V1
from nomaflow.api.strict_json import MAX_DEPTH, parse
from nomaflow.errors import BadRequestError
from tests.api.scripted import run_id
from tests.api.stand import ADMIN_TOKEN, Stand, sentence_of

JSON = {"Content-Type": "application/json"}
LAUNCH = f"{V1}/jobs/jde-nightly/runs"
RUN = f"{V1}/runs/{run_id(1)}"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"  \n", 400, "empty"),
        (b"null", 422, "JSON object"),
        (b"[]", 422, "JSON object"),
        (b'"x"', 422, "JSON object"),
        (b"7", 422, "JSON object"),
        (b"{", 400, "not JSON"),
        (b"{'reason': 1}", 400, "not JSON"),
        (b'{"reason": "x",}', 400, "not JSON"),
        (b'{"reason": "x"} {}', 400, "not JSON"),
        (b'{"reason": "x"}\x00', 400, "not JSON"),
        (b'{"reason": "a\nb"}', 400, "not JSON"),
        (b'{"reason": "x", "reason": "y"}', 400, "twice"),
        (b'{"params": {"a": {"b": 1, "b": 1}}}', 400, "twice"),
        (b'{"params": {"a": NaN}}', 400, "NaN"),
        (b'{"params": {"a": -Infinity}}', 400, "Infinity"),
        (b'{"params": {"a": 1e999}}', 400, "too large"),
        (b'{"params": {"a": ' + b"9" * 100_000 + b"}}", 400, "too many digits"),
        (b'{"reason": "\xff"}', 400, "UTF-8"),
        (b'\xef\xbb\xbf{"reason": "x"}', 400, "byte order mark"),
        ('{"reason": "x"}'.encode("utf-16"), 400, "UTF-8"),
        (b'{"reason": "\\ud800"}', 400, "surrogate"),
        (b'{"params": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", 400, "nested"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "nested"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "nested"),
        (b'{"reason": "' + b"x" * 1_048_576 + b'"}', 413, "1024 KiB"),
        (b'{"__proto__": {}}', 422, "__proto__"),
        (b'{"actor": "admin"}', 422, "actor"),
        (b'{"triggered_by": "cron"}', 422, "triggered_by"),
        (b'{"resaon": "x"}', 422, 'did you mean "reason"'),
        (b'{"reason": 7}', 422, "reason must be text"),
        (b'{"log_level": "LOUD"}', 422, "log_level must be one of"),
        (b'{"params": []}', 422, "params must be a JSON object"),
        (b'{"steps": {"load": {"enabled": "no"}}}', 422, "steps.load.enabled must be true or false"),
        (b'{"steps": {"load": {"enable": true}}}', 422, "steps.load.enable is not a known key"),
        (b'{"reason": "' + b"x" * 1001 + b'"}', 422, "at most 1000 characters"),
        (b'{"params": {"' + b"k" * 65 + b'": 1}}', 422, "at most 64 characters"),
    ],
)
async def test_a_body_that_is_not_right_starts_nothing(stand: Stand, body: bytes, status: int, says: str) -> None:
    """It is refused whole, with a sentence that says what is wrong."""
    answer = await stand.send("POST", LAUNCH, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert says in sentence_of(answer)
    assert not stand.engine.asked


def test_a_body_may_be_as_deep_as_the_limit() -> None:
    """The limit itself is allowed, one more is not."""
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(BadRequestError):
        parse(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2))


def test_a_body_of_many_values_is_read_as_it_stands() -> None:
    """Strictness changes nothing about what is well-formed."""
    value = {"a": [1, 2.5, None, True, "ü \u2028"], "b": {"c": -0.0, "d": 2**60}, "__proto__": "x"}
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_must_be_said_to_be_json(stand: Stand, headers: dict[str, str]) -> None:
    """A web page can post text and forms to any address without being asked first; not JSON."""
    answer = await stand.send("POST", LAUNCH, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "Content" in sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json; charset="utf-8"']
)
async def test_the_ways_to_say_json(stand: Stand, media_type: str) -> None:
    """UTF-8 may be named."""
    answer = await stand.send("POST", LAUNCH, content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == 202


async def test_no_body_at_all_is_an_empty_one(stand: Stand) -> None:
    """`curl -X POST` is enough to start a job as it is saved."""
    assert (await stand.send("POST", LAUNCH)).status_code == 202
    assert (await stand.send("POST", f"{V1}/jobs/check")).status_code == 422


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30, "\u0661"])
async def test_a_length_that_is_none_is_refused(stand: Stand, length: str) -> None:
    """The announced length is checked before anything is read."""
    answer = await stand.send("POST", LAUNCH, content=b"{}", headers={**JSON, "Content-Length": length.encode()})
    assert answer.status_code == 413
    assert not stand.engine.asked


BAD_JOB_IDS = [
    "..%2f..",
    "%2e%2e",
    "..",
    "%00",
    "jde-nightly%00",
    "jde-nightly%0a",
    "JDE-nightly",
    "jde-nightly.",
    "jde%20nightly",
    "-jde",
    "j" * 65,
    "j" * 300,
    "%ff",
    "ĵde",
    "*",
    "jde-*",
]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("job_id", BAD_JOB_IDS)
async def test_a_malformed_job_id_is_a_missing_job(stand: Stand, job_id: str, method: str) -> None:
    """It reaches neither the engine nor a file name."""
    answer = await stand.send(method, f"{V1}/jobs/{job_id}")
    assert answer.status_code in (404, 405), answer.text
    sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize(
    "given",
    ["..%2f..", "%00", "run_" + "0" * 300, "run_1", "RUN_0000000000001", "run_000000000000l", "run_000000000000a", "x"],
)
@pytest.mark.parametrize("under", ["", "/logs", "/logs.txt", "/logs/stream"])
async def test_a_malformed_run_id_is_a_missing_run(stand: Stand, given: str, under: str) -> None:
    """Run ids are known by their form before anybody looks them up."""
    answer = await stand.send("GET", f"{V1}/runs/{given}{under}")
    assert answer.status_code == 404
    sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/runs?limit=0", "limit must be at least 1"),
        ("/runs?limit=-1", "limit must be at least 1"),
        ("/runs?limit=501", "limit must be at most 500"),
        ("/runs?limit=1000000000", "limit must be at most 500"),
        ("/runs?limit=x", "limit must be a whole number"),
        ("/runs?limit=1.5", "limit must be a whole number"),
        ("/runs?limit=", "limit must be a whole number"),
        ("/runs?limit=1&limit=2", "limit is given twice"),
        ("/runs?offset=10", "offset is no query parameter"),
        ("/runs?sate=FAILED", 'did you mean "state"'),
        ("/runs?state=failed", "state must be one of"),
        ("/runs?cursor=" + "x" * 201, "cursor must have at most 200 characters"),
        ("/runs?since=2026-02-30T00:00:00Z", "since must be an instant with its zone"),
        ("/runs?since=2026-02-20T24:00:01Z", "since must be an instant with its zone"),
        ("/runs?since=2026-02-20T10:00:00", "since must be an instant with its zone"),
        ("/runs?since=2026-02-20", "since must be an instant with its zone"),
        ("/runs?since=1700000000", "since must be an instant with its zone"),
        ("/runs?since=0000-01-01T00:00:00Z", "since must be an instant with its zone"),
        ("/runs?since=0001-01-01T00:00:00%2B12:00", "between the years"),
        ("/runs?since=9999-12-31T23:00:00-12:00", "between the years"),
        ("/runs?since=2026-02-02T00:00:00Z&until=2026-02-01T00:00:00Z", "until lies before since"),
        ("/jobs?sort=id;drop", "sort must be one of"),
        ("/jobs?q=" + "x" * 501, "q must have at most 500 characters"),
        ("/jobs/jde-nightly/durations?limit=0", "limit must be at least 1"),
        (f"/runs/{run_id(1)}/logs?after=-1", "after must be at least 0"),
        (f"/runs/{run_id(1)}/logs?after=99999999999999999999", "after must be at most"),
        (f"/runs/{run_id(1)}/logs?tail=0", "tail must be at least 1"),
        (f"/runs/{run_id(1)}/logs?tail=5&after=5", "give one of them"),
        (f"/runs/{run_id(1)}/logs?level=LOUD", "level must be one of"),
        ("/connectors?kind=ftp", "kind must be one of"),
    ],
)
async def test_a_query_that_does_not_fit_is_refused(stand: Stand, path: str, says: str) -> None:
    """Nothing is clamped or passed over in silence: an answer to another question would mislead."""
    answer = await stand.send("GET", V1 + path)
    assert answer.status_code == 422, answer.text
    assert says in sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize("key", [b"", b"x" * 129, b"a\tb", "ключ".encode(), b"\x7f"])
async def test_an_idempotency_key_is_short_and_printable(stand: Stand, key: bytes) -> None:
    """Anything else is refused before a run is started."""
    answer = await stand.send("POST", LAUNCH, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in sentence_of(answer)
    assert not stand.engine.asked


async def test_two_authorizations_are_none(stand: Stand) -> None:
    """Which of the two a proxy before us would have taken, nobody knows."""
    headers = [("Authorization", f"Bearer {ADMIN_TOKEN}"), ("Authorization", "Bearer x")]
    answer = await stand.send("GET", f"{V1}/me", as_=None, headers=headers)
    assert answer.status_code == 400
    assert "twice" in sentence_of(answer)


@pytest.mark.parametrize("surface", ["phone", "cron", "WEB", "web,cli", ""])
async def test_an_unknown_surface_is_refused(stand: Stand, surface: str) -> None:
    """Nobody can pose as the schedule."""
    answer = await stand.send("POST", LAUNCH, headers={"X-Nomaflow-Surface": surface})
    assert answer.status_code == 400
    assert "X-Nomaflow-Surface" in sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/api/v2/jobs", "/nothing", "/docs/..%2fapp.py", "/docs/redoc"]
)
async def test_an_unknown_path_says_so_in_the_same_shape(stand: Stand, path: str) -> None:
    """404 without HTML and without a redirect."""
    answer = await stand.send("GET", path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    sentence_of(answer)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/healthz"), ("PUT", f"{V1}/runs"), ("TRACE", RUN), ("HEAD", RUN)]
)
async def test_a_wrong_method_says_so_in_the_same_shape(stand: Stand, method: str, path: str) -> None:
    """405, and which method there is."""
    answer = await stand.send(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"]
    if method != "HEAD":
        assert answer.json()["error"]["code"] == "method_not_allowed"
