"""The way to a directory: name, socket and TLS, each with its own sentence when it fails.

The TLS of ldap3 verifies nothing by default, and where it does it cannot match an address of numbers on Python 3.12.
So the socket is opened and wrapped here, by an `SSLContext` that verifies authority and name; the library is given it
when it is ready.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nomaflow.steps.ldap_sync.errors import DirectoryError

CONNECT_SECONDS = 10.0
"""How long a directory may take to accept a connection and for TLS, where the connector does not say otherwise."""

_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})
_EXPIRED = frozenset({9, 10})
"""OpenSSL's numbers for why a certificate is not accepted (X509_V_ERR_*)."""

_CERTIFICATE = "a certificate that is not trusted stays so"


@dataclass(frozen=True)
class Address:
    """Where the directory listens, and whether TLS begins before anything is said."""

    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, url: str) -> Address:
        """As a connector's `url` names it."""
        parts = urlsplit(url)
        is_tls = parts.scheme == "ldaps"
        return cls(parts.hostname or "", parts.port or (636 if is_tls else 389), is_tls)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that trusts the authorities of `ca_file`, else those of the system.

    Raises:
        DirectoryError: the file cannot be read, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # an SSLError is one
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise DirectoryError(f"ca_file {ca_file} cannot be used: {reason}", "the file stays as it is") from error
    # From 3.13 on Python refuses authorities without a keyUsage, which many companies have; trust is checked anyway.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def connected(address: Address, seconds: float) -> socket.socket:
    """An open connection.

    Raises:
        DirectoryError: there is none.
    """
    try:
        return socket.create_connection((address.host, address.port), seconds)
    except socket.gaierror as error:
        told = f"the name {address.host} cannot be resolved ({error.strerror}); check the connector's url"
        raise DirectoryError(told) from error
    except ConnectionRefusedError as error:
        raise DirectoryError(
            f"nobody listens at {address}; check the connector's url, and whether the server runs"
        ) from error
    except TimeoutError as error:
        raise DirectoryError(f"{address} did not answer within {seconds:g} s") from error
    except (OSError, UnicodeError) as error:
        raise DirectoryError(f"{address} cannot be reached: {getattr(error, 'strerror', None) or error}") from error


def wrapped(raw: socket.socket, address: Address, context: ssl.SSLContext, seconds: float) -> ssl.SSLSocket:
    """The connection with TLS, its server's certificate verified against the address.

    Raises:
        DirectoryError: the certificate is not accepted, or the server speaks no TLS.
    """
    raw.settimeout(seconds)
    try:
        return context.wrap_socket(raw, server_hostname=address.host)
    except ssl.SSLCertVerificationError as error:
        raise DirectoryError(_refused(address, error), _CERTIFICATE) from error
    except TimeoutError as error:
        raise DirectoryError(f"{address} did not answer within {seconds:g} s when TLS was to begin") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise DirectoryError(
            f"TLS with {address} failed ({reason}); check that this port of the server speaks it"
        ) from error


def _refused(address: Address, error: ssl.SSLCertVerificationError) -> str:
    reason: Any = error.verify_message
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            f"the certificate of {address} comes from an authority that is not known ({reason}); "
            "name its certificate with ca_file"
        )
    if error.verify_code in _OTHER_NAME:
        return (
            f"the certificate of {address} is for another name ({reason}); use one of its names in the connector's url"
        )
    if error.verify_code in _EXPIRED:
        return f"the certificate of {address} is not valid today ({reason}); the server needs a new one"
    return f"the certificate of {address} is not accepted: {reason}"
