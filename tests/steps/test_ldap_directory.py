"""The way to a directory and what can happen on it: certificates, passwords, servers that freeze or go away."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from nomaflow.steps import ask_directory
from nomaflow.steps.ldap_sync.errors import DirectoryError
from nomaflow.worker.context import StepCanceled
from nomaflow.worker.lasting import verdict
from tests.fakes.context import Told, step_context
from tests.servers import slapd
from tests.servers.proxy import Proxy
from tests.servers.slapd import Directory
from tests.steps.copying import Bench
from tests.steps.syncing import COLUMNS, sync


@pytest.fixture(scope="module")
def people() -> Iterator[Directory]:
    """A directory of 50 people that nobody changes."""
    with slapd.running(50) as running:
        yield running


@pytest.fixture
def lite(tmp_path: Path) -> Bench:
    """A SQLite database `db` with an empty table `people`."""
    made = Bench(tmp_path)
    made.add("db", "sqlite")
    made.sql("db", f"CREATE TABLE people ({COLUMNS['sqlite']})")
    return made


def ask(connector: dict[str, Any]) -> dict[str, Any]:
    ctx, _ = step_context({"directory": connector})
    return ask_directory.run(ctx, {"connector": "directory"})


@pytest.mark.parametrize(
    "way", ["plain", "anonymous", "ldaps by address", "ldaps by name", "StartTLS", "StartTLS by name"]
)
def test_a_directory_answers_in_every_way(people: Directory, way: str) -> None:
    """TLS from the start or begun later, by a name of the certificate or by its address."""
    ca_file = str(people.ca_file)
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "anonymous": {"bind_dn": "", "password": None},
        "ldaps by address": {"url": people.tls_url, "ca_file": ca_file},
        "ldaps by name": {"url": f"ldaps://LocalHost:{people.tls_port}", "ca_file": ca_file},
        "StartTLS": {"start_tls": True, "ca_file": ca_file},
        "StartTLS by name": {"url": f"ldap://localhost:{people.port}", "start_tls": True, "ca_file": ca_file},
    }
    assert ask(people.connector(**ways[way])) == {}


@pytest.mark.parametrize(
    ("changes", "message", "may_retry"),
    [
        (
            {"password": "wrong"},
            "signing in as cn=reader,.* answers invalidCredentials; check bind_dn and the password",
            False,
        ),
        ({"bind_dn": "cn=nobody,dc=example,dc=org"}, "answers invalidCredentials", False),
        ({"password": ""}, "the password of bind_dn is empty", False),
        ({"bind_dn": "not a name"}, "answers invalidDNSyntax", False),
        (
            {"url": "{tls}", "ca_file": "{other}"},
            "from an authority that is not known .*; name its certificate with ca_file",
            False,
        ),
        ({"url": "{tls}"}, "from an authority that is not known", False),
        ({"start_tls": True, "ca_file": "{other}"}, "from an authority that is not known", False),
        ({"url": "{tls}", "ca_file": "/nowhere/ca.pem"}, "ca_file /nowhere/ca.pem cannot be used: No such file", False),
        ({"url": "{tls}", "ca_file": "{key}"}, "cannot be used: it holds no certificate in PEM form", False),
        ({"url": "ldap://127.0.0.1:1"}, "nobody listens at 127.0.0.1:1; check the connector's url", True),
        (
            {"url": "ldap://nowhere.invalid"},
            "the name nowhere.invalid cannot be resolved .*; check the connector's url",
            True,
        ),
        ({"url": "ldaps://127.0.0.1:{port}"}, "TLS with 127.0.0.1:.* failed", True),
    ],
)
def test_each_failure_has_its_sentence(
    people: Directory, changes: dict[str, Any], message: str, may_retry: bool
) -> None:
    """With the connector's name, never the password; what lies in the settings is not tried again."""
    known = {
        "tls": people.tls_url,
        "other": people.other_ca_file,
        "key": people.folder / "server.key",
        "port": people.port,
    }
    given = {name: value.format(**known) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(DirectoryError, match=rf"^The directory 'directory': .*{message}") as refused:
        ask(people.connector(**given))
    assert verdict(refused.value).may_retry is may_retry
    assert slapd.PASSWORD not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_certificate_for_another_name_is_refused() -> None:
    """By name from the start, and by StartTLS."""
    with slapd.running(1, tls_name="ldap.example.org") as other:
        ca_file = str(other.ca_file)
        for changes in (
            {"url": f"ldaps://localhost:{other.tls_port}"},
            {"url": f"ldap://localhost:{other.port}", "start_tls": True},
        ):
            with pytest.raises(
                DirectoryError, match=r"is for another name .*; use one of its names in the connector's url"
            ):
                ask(other.connector(**changes, ca_file=ca_file))


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b"0\x05\x02\x01\x01a\x00", b""])
def test_a_server_that_speaks_something_else_is_told(said: bytes) -> None:
    """Whatever its first words are taken for."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        connector = {
            "name": "directory",
            "kind": "ldap",
            "url": f"ldap://127.0.0.1:{port}",
            "receive_timeout_seconds": 1,
        }
        with pytest.raises(DirectoryError, match=r"^The directory 'directory': .*127\.0\.0\.1:\d+"):
            ask(connector)
        thread.join()


def test_a_server_that_says_nothing_is_given_up(lite: Bench, people: Directory) -> None:
    """After `receive_timeout_seconds`, and may be tried again: at the door, in TLS, in the middle of an answer."""
    slow = {"connect_timeout_seconds": 0.3, "receive_timeout_seconds": 0.3}
    with people.frozen():
        for changes in ({}, {"url": people.tls_url, "ca_file": str(people.ca_file)}):
            with pytest.raises(DirectoryError, match=r"did not answer within 0.3 s") as silent:
                ask(people.connector(**slow, **changes))
            assert verdict(silent.value).may_retry
    told = Told()
    with ExitStack() as frozen:
        told.on_progress = lambda progress: frozen.enter_context(people.frozen())
        with pytest.raises(DirectoryError, match=r"did not answer within 0.3 s"):
            sync(lite, people.connector(**slow), told=told, page_size=20)
    assert lite.sql("db", "SELECT count(*) FROM people") == [(0,)]


def test_a_connection_that_is_lost_between_pages_changes_nothing(lite: Bench, people: Directory) -> None:
    """The pages that came look like an answer; it may be tried again."""
    sync(lite, people)
    told = Told()
    with closing(Proxy("127.0.0.1", people.port)) as proxy:
        told.on_progress = lambda progress: proxy.cut()
        with pytest.raises(DirectoryError, match=r"the connection to .* was lost") as lost:
            sync(lite, people.connector(url=f"ldap://127.0.0.1:{proxy.port}"), told=told, page_size=20, deletion="hard")
    assert verdict(lost.value).may_retry
    assert lite.sql("db", "SELECT count(*) FROM people") == [(50,)]
    assert lite.ctx.rolled_back is True


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_a_cancel_ends_the_wait_for_a_frozen_server(lite: Bench, people: Directory, is_tls: bool) -> None:
    """At once, in the middle of an answer, with everything rolled back; no thread and no connection is left."""
    connector = people.connector(**({"url": people.tls_url, "ca_file": str(people.ca_file)} if is_tls else {}))
    told = Told()
    before = threading.active_count()
    open_files = len(os.listdir("/proc/self/fd"))
    with ExitStack() as frozen:

        def cancel(progress: object) -> None:
            frozen.enter_context(people.frozen())
            threading.Timer(0.2, lambda: lite.ctx.canceler.cancel("user:test", 10)).start()

        told.on_progress = cancel
        with pytest.raises(StepCanceled):
            sync(lite, connector, told=told, page_size=20)
    assert lite.ctx.rolled_back is True
    assert told.line("stopped: ")
    assert lite.sql("db", "SELECT count(*) FROM people") == [(0,)]
    for thread in threading.enumerate():
        if thread.name == "cancel a statement":
            thread.join()
    assert threading.active_count() <= before + 1  # the timer that would cut a server of the target
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_cancel_between_pages_ends_the_step(lite: Bench, people: Directory) -> None:
    """The next page is not asked for."""
    told = Told()
    told.on_progress = lambda progress: lite.ctx.canceler.cancel("user:test", 10)
    with pytest.raises(StepCanceled):
        sync(lite, people, told=told, page_size=20)
    assert len(told.progress) == 1
    assert lite.sql("db", "SELECT count(*) FROM people") == [(0,)]
