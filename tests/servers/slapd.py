"""A private directory on loopback, for tests and benchmarks: slapd with people like those of Active Directory."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
BIND_DN = f"cn=reader,{SUFFIX}"
PASSWORD = "reader-of-the-directory"
ODD = f"ou=Sales\\, EMEA,{PEOPLE}"
"""A part of the tree whose name holds a comma; every tenth person is in it."""

READY_SECONDS = 20

# Active Directory's own names, with the types that it gives them.
_SCHEMA = """
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.96 NAME 'pwdLastSet' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.3 NAME 'whenChanged' EQUALITY generalizedTimeMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.102 NAME 'memberOf' EQUALITY distinguishedNameMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top AUXILIARY
  MAY ( sAMAccountName $ userAccountControl $ objectGUID $ pwdLastSet $ whenChanged $ memberOf ) )
"""

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {folder}/user.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
sizelimit {sizelimit}
{tls}
database mdb
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw {admin_password}
directory {folder}/data
maxsize 268435456
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by dn="{bind_dn}" read by * none
limits dn="{bind_dn}" {limits}
"""


class NotInstalledError(Exception):
    """The machine has no slapd."""


@dataclass(frozen=True)
class Directory:
    """A server that runs."""

    folder: Path
    port: int
    tls_port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Without TLS, or with StartTLS."""
        return f"ldap://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """With TLS from the start, by address."""
        return f"ldaps://{self.host}:{self.tls_port}"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.folder / "ca.pem"

    @property
    def other_ca_file(self) -> Path:
        """An authority that has signed nothing."""
        return self.folder / "other-ca.pem"

    def connector(self, name: str = "directory", **changes: Any) -> dict[str, Any]:
        """The server as the engine describes a connector to a worker."""
        given = {"name": name, "kind": "ldap", "url": self.url, "bind_dn": BIND_DN, "password": PASSWORD}
        return given | changes

    def apply(self, ldif: str) -> None:
        """Change entries; each change says what it is (`changetype:`).

        Raises:
            RuntimeError: the server refuses.
        """
        command = ["ldapmodify", "-x", "-H", self.url, "-D", f"cn=admin,{SUFFIX}", "-w", _ADMIN_PASSWORD]
        done = subprocess.run(command, input=ldif.encode(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ldapmodify: {done.stderr.decode()}")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server stands still inside the block; connections are accepted by the kernel all the same."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


_ADMIN_PASSWORD = "administrator-of-the-directory"


@contextmanager
def running(
    people: int = 50,
    *,
    sizelimit: int | str = "unlimited",
    limits: str = "size.soft=unlimited",
    tls_name: str = "localhost",
) -> Iterator[Directory]:
    """Start a directory with so many people on free ports, and stop it at the end.

    Args:
        people: how many; see `person`.
        sizelimit: the server's, for everybody.
        limits: what slapd.conf says behind `limits dn="…"` of the one who reads.
        tls_name: the one name of the certificate, beside 127.0.0.1.

    Raises:
        NotInstalledError: there is no slapd on this machine.
    """
    program = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or shutil.which("ldapmodify") is None:
        raise NotInstalledError("slapd is not installed; run: apt-get install --no-install-recommends slapd ldap-utils")
    with tempfile.TemporaryDirectory(prefix="nomaflow-slapd-") as name:
        folder = Path(name)
        _make_certificates(folder, tls_name)
        _configure(folder, sizelimit=sizelimit, limits=limits)
        (folder / "people.ldif").write_text(_ldif(people))
        with (folder / "output").open("wb") as output:
            configuration = ["-f", str(folder / "slapd.conf")]
            load = [program, "-T", "add", "-q", *configuration, "-l", str(folder / "people.ldif")]
            subprocess.run(load, stdout=output, stderr=output, check=True)
            port, tls_port = _free_ports()
            urls = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
            process = subprocess.Popen(
                [program, *configuration, "-h", urls, "-d", "0"], stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        try:
            _wait_until_open(process, port, folder / "output")
            yield Directory(folder, port, tls_port, process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(20)


def person(number: int) -> str:
    """The LDIF of one of the people: `user0001`, with what is hard to read about them.

    Every tenth is below a name with a comma, has two addresses and a photo; every seventh is in two groups.
    """
    login, base = f"user{number:04}", ODD if number % 10 == 0 else PEOPLE
    lines = [
        f"dn: uid={login},{base}",
        "objectClass: inetOrgPerson",
        "objectClass: user",
        f"uid: {login}",
        f"cn: Person {number}, the \u00e9lan" if number % 10 == 0 else f"cn: Person {number}",
        f"sn: Person{number}",
        f"mail: {login}@example.org",
        *([f"mail: a.{login}@example.org"] if number % 10 == 0 else []),
        f"employeeNumber: {number}",
        f"sAMAccountName: {login.upper()}",
        f"userAccountControl: {512 if number % 3 else 514}",
        f"objectGUID:: {_base64(number.to_bytes(16, 'big'))}",
        f"pwdLastSet: {133_000_000_000_000_000 + number * 10_000_000}",
        f"whenChanged: 20260101{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}.0Z",
        "memberOf: cn=everybody,ou=groups,dc=example,dc=org",
    ]
    if number % 7 == 0:
        lines.append("memberOf: cn=admins\\, all,ou=groups,dc=example,dc=org")
    if number % 10 == 0:
        lines.append(f"jpegPhoto:: {_base64(b'\xff\xd8\xff\x00' + login.encode())}")
    return "\n".join(lines) + "\n"


def _ldif(people: int) -> str:
    top = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: {ODD}\nobjectClass: organizationalUnit\nou: Sales, EMEA\n",
        f"dn: {BIND_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n"
        f"userPassword: {PASSWORD}\n",
    ]
    return "\n".join([*top, *(_readable(person(number)) for number in range(1, people + 1))])


def _readable(ldif: str) -> str:
    """LDIF whose values beyond ASCII are in base64, as its grammar asks."""
    lines = []
    for line in ldif.splitlines():
        name, _, value = line.partition(": ")
        lines.append(line if line.isascii() else f"{name}:: {_base64(value.encode())}")
    return "\n".join(lines) + "\n"


def _base64(octets: bytes) -> str:
    import base64

    return base64.b64encode(octets).decode()


def _configure(folder: Path, *, sizelimit: int | str, limits: str) -> None:
    (folder / "data").mkdir()
    (folder / "user.schema").write_text(_SCHEMA)
    tls = "\n".join(
        f"{option} {folder / file}"
        for option, file in (
            ("TLSCACertificateFile", "ca.pem"),
            ("TLSCertificateFile", "server.pem"),
            ("TLSCertificateKeyFile", "server.key"),
        )
    )
    text = _CONFIGURATION.format(
        folder=folder,
        suffix=SUFFIX,
        bind_dn=BIND_DN,
        admin_password=_ADMIN_PASSWORD,
        tls=tls,
        sizelimit=sizelimit,
        limits=limits,
    )
    (folder / "slapd.conf").write_text(text)


def _wait_until_open(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"slapd did not get ready: {output.read_text()[-2000:]}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _make_certificates(folder: Path, name: str) -> None:
    """An authority without a keyUsage, as many companies have, the server's certificate, and an authority besides."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def built(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, *extensions: x509.ExtensionType) -> Any:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder

    def write(file: str, certificate: x509.Certificate) -> None:
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    authority = x509.BasicConstraints(ca=True, path_length=None)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    for file, subject, key in (("ca.pem", "Test authority", keys[0]), ("other-ca.pem", "Other authority", keys[1])):
        write(file, built(subject, key, subject, authority).sign(key, hashes.SHA256()))
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    write("server.pem", built(name, keys[2], "Test authority", names).sign(keys[0], hashes.SHA256()))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(keys[2].private_bytes(*private))
