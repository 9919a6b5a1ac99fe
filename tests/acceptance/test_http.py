"""`http` steps through a real engine: how they end, when they are tried again, and what is shown of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cancel_stage import wait_for
from tests.servers.engine import Child, ChildFailedError, engine
from tests.servers.misbehaving import Service, certificate, service

RETRY = "[retry]\nattempts = 3\nbase_seconds = 0.05\n"


def ask(path: str, *more: str) -> str:
    """A step that asks the service for this."""
    return "\n".join(['[[steps]]\nname = "ask"\ntype = "http"\nconnector = "web"', f'url = "{path}"', *more])


JOBS = {
    "pulls": """
        [params]
        since = "2026-03-01"
        [[steps]]
        name = "fetch"
        type = "http"
        connector = "web"
        url = "said"
        query = { body = '{"items": [{"id": 7}], "next": null, "token": "s3cret-token"}', since = "${kw:since}" }
        outputs = { items = "/items", next = "/next" }
        [[steps]]
        name = "push"
        type = "http"
        connector = "web"
        url = "echo/${ctx:job_id}"
        method = "POST"
        headers = { X-Api-Key = "${env:NOMAFLOW_TEST_KEY}" }
        body = { items = "${out:fetch.items}", since = "${kw:since}", status = "${out:fetch.status}" }
        outputs = { key = "/headers/x-api-key", auth = "/headers/authorization", body = "/body" }
        """,
    "busy": RETRY + ask("rate", 'outputs = { id = "/items/0/id" }'),
    "missing": RETRY + ask("status/404/gone"),
    "lost": RETRY + ask("half_close"),
    "late": RETRY + ask("silent", 'method = "POST"', "timeout_seconds = 0.3"),
    "private": RETRY + '[[steps]]\nname = "ask"\ntype = "http"\nurl = "{url}/echo"',
    "large": RETRY + ask("endless"),
    "unset": RETRY + ask("echo", 'headers = { X-Api-Key = "${env:NOMAFLOW_TEST_NONE}" }'),
    "inside": RETRY + ask("moved/302", 'query = { to = "http://169.254.169.254/latest/meta-data" }'),
}


class Stage:
    """An engine, and the service that its jobs talk to."""

    def __init__(self, child: Child, web: Service) -> None:
        self.child, self.web = child, web

    def run(self, job_id: str, **launch: Any) -> dict[str, Any]:
        """One run of the job, to its end."""
        run_id = self.child.request("POST", f"/jobs/{job_id}/runs", launch)["id"]

        def ended() -> dict[str, Any] | None:
            run = self.child.request("GET", f"/runs/{run_id}")
            return run if run["finished_at"] else None

        run = wait_for(ended)
        self.web.wait_closed()
        return run

    def log(self, run: dict[str, Any]) -> list[str]:
        """The texts of its log."""
        return [line["text"] for line in self.child.request("GET", f"/runs/{run['id']}/logs")["lines"]]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One engine for all tests."""
    home = tmp_path_factory.mktemp("home")
    shown = certificate(home)
    with (
        pytest.MonkeyPatch.context() as patch,
        service() as web,
        service(shown.context) as secret,
        service() as refusing,
    ):
        patch.setenv("NOMAFLOW_TEST_KEY", "k3y-of-the-service")
        patch.setenv("NOMAFLOW_TEST_TOKEN", "s3cret-token")
        auth = '{ type = "bearer", token_env = "NOMAFLOW_TEST_TOKEN" }'
        connectors = {
            "web": f'url = "{web.url}"\nauth = {auth}\nallow_private = true',
            "refused-inside": f'url = "{web.url}"',
            "secret": f'url = "https://localhost:{secret.port}/echo"\nallow_private = true\nca_file = "cert.pem"',
            "untrusted": f'url = "https://localhost:{secret.port}/echo"\nallow_private = true',
            "unauthorized": f'url = "{web.url}/status/401"\nauth = {auth}\nallow_private = true',
            "forbidden": f'url = "{web.url}/status/403"\nallow_private = true',
            "sick": f'url = "{web.url}/status/503"\nallow_private = true',
            "no-root": f'url = "{web.url}/status/404"\nallow_private = true',
            "unsigned": f'url = "{web.url}"\nauth = {{ type = "bearer", token_env = "NOMAFLOW_TEST_NONE" }}',
            "cut": f'url = "{web.url}/half_close"\nallow_private = true',
            "gone": 'url = "http://no-such-host.invalid"',
            "closed": f'url = "{refusing.url}"\nallow_private = true',
        }
        refusing.close()
        text = "[engine]\ntimezone = 'UTC'\ndrain_seconds = 0.1\n"
        text += "".join(f'[connectors.{name}]\nkind = "http"\n{rest}\n' for name, rest in connectors.items())
        (home / "nomaflow.toml").write_text(text)
        (home / "jobs").mkdir()
        for name, job in JOBS.items():
            (home / "jobs" / f"{name}.toml").write_text(job.replace("{url}", web.url))
        with engine(home) as child:
            yield Stage(child, web)


def test_an_answer_goes_on_to_the_next_step(here: Stage) -> None:
    """Parts of it with their types; what signs requests in is in no output and no line."""
    run = here.run("pulls", params={"since": "2026-02-01"})
    fetch, push = run["steps"]
    assert run["state"] == "SUCCEEDED", (run, here.log(run))
    assert (fetch["output"]["items"], fetch["output"]["next"]) == ([{"id": 7}], None)
    assert json.loads(push["output"]["body"]) == {"items": [{"id": 7}], "since": "2026-02-01", "status": 200}
    assert (push["output"]["key"], push["output"]["auth"]) == ("••••", "Bearer ••••")
    assert here.web.requests[-1].headers["authorization"] == "Bearer s3cret-token"
    assert '"token": "••••"' in fetch["output"]["body_preview"]
    log = here.log(run)
    assert f"GET {here.web.url}/said?body=…&since=…" in log
    assert f"POST {here.web.url}/echo/pulls" in log
    everything = json.dumps([run, log])
    assert "s3cret-token" not in everything
    assert "k3y-of-the-service" not in everything


def test_debug_shows_headers(here: Stage) -> None:
    """Without what signs the request in."""
    log = here.log(here.run("pulls", log_level="DEBUG"))
    assert {"> Authorization: ••••", "> X-Api-Key: ••••", "< connection: close"} <= set(log)


def test_a_busy_service_is_asked_again_when_it_says(here: Stage) -> None:
    """429 with a Retry-After of a second, where the job would have waited a twentieth of one."""
    run = here.run("busy")
    first, second = run["steps"][0]["attempts"]
    assert (run["state"], run["steps"][0]["output"]["id"]) == ("SUCCEEDED", 7)
    assert first["error"]["type"] == "BusyError"
    assert first["retry_at"] > first["finished_at"]
    assert any("tries again in 1 s" in line for line in here.log(run))
    assert second["error"] is None


@pytest.mark.parametrize(
    ("job_id", "tries", "kind", "message", "line"),
    [
        (
            "missing",
            1,
            "StatusError",
            "was answered with 404 Whatever, which is none of",
            "would answer with 404 again",
        ),
        ("lost", 3, "AnswerLostError", "the connection ended before the answer did", None),
        ("late", 1, "TimeoutError", "timed out after 0.3 s", "whether it was done is unknown"),
        ("private", 1, "AddressRefusedError", "is a loopback address", "an address that is refused stays refused"),
        ("unset", 1, "SubstitutionError", "the environment of the engine has no variable 'NOMAFLOW_TEST_NONE'", None),
        ("inside", 1, "AddressRefusedError", "169.254.169.254 is the address of a cloud's metadata", "stays refused"),
        ("large", 1, "TooLargeError", "more than 4,194,304 bytes", "larger than the step takes"),
    ],
)
def test_failures(here: Stage, job_id: str, tries: int, kind: str, message: str, line: str | None) -> None:
    """Each with its sentence, and tried again only where that makes sense."""
    run = here.run(job_id)
    (step,) = run["steps"]
    assert (run["state"], step["attempt"], step["error"]["type"]) == ("FAILED", tries, kind)
    assert message in step["error"]["message"]
    log = here.log(run)
    assert line is None or any(text.startswith("not tried again: ") and line in text for text in log)
    assert not any("Traceback" in text for text in log)


@pytest.mark.parametrize(
    ("name", "ok", "message"),
    [
        ("secret", True, "secret answers"),
        ("no-root", True, "no-root answers, with 404 for its url"),
        ("refused-inside", False, "refused-inside cannot be asked: 127.0.0.1 is a loopback address; only a connector"),
        ("untrusted", False, "untrusted cannot be asked: the certificate of localhost is not trusted: self-signed"),
        ("unauthorized", False, "unauthorized refuses what its `auth` signs with: it answers 401"),
        ("forbidden", False, "forbidden refuses a request without `auth`: it answers 403"),
        ("sick", False, "sick answers 503: it cannot serve now"),
        ("cut", False, "cut cannot be asked: 127.0.0.1: the connection ended before the answer did"),
        ("gone", False, "gone cannot be asked: the name no-such-host.invalid leads to no address"),
        ("closed", False, "closed cannot be asked: 127.0.0.1 does not take a connection on port"),
        ("unsigned", False, "the connector 'unsigned' takes its secret from the variable NOMAFLOW_TEST_NONE"),
    ],
)
def test_a_connector_is_tried(here: Stage, name: str, ok: bool, message: str) -> None:
    """One sentence for each way in which it does not work."""
    told = here.child.request("POST", f"/connectors/{name}/test")
    assert (told["ok"], told["message"][: len(message)]) == (ok, message)


def test_a_step_is_checked_when_it_is_saved(here: Stage) -> None:
    """Like every other, with its place in the file."""
    bad = '[[steps]]\nname = "ask"\ntype = "http"\nconnector = "webb"\nheaders = { Authorization = "x" }\n'
    with pytest.raises(ChildFailedError, match=r"headers.Authorization is none of a step"):
        here.child.request("POST", "/jobs", {"id": "bad", "toml": bad})


def test_nothing_is_left_behind(here: Stage, tmp_path: Path) -> None:
    """The engine has no more descriptors after twenty runs than after one, however they end."""
    fds = Path(f"/proc/{here.child.process.pid}/fd")
    for job_id in ("lost", "large", "late"):
        here.run(job_id)
    before = len(list(fds.iterdir()))
    for job_id in ("lost", "large", "late", "missing", "private") * 2:
        here.run(job_id)
    assert len(list(fds.iterdir())) <= before
