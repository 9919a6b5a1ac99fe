"""`http`: one request to a web service, and what of its answer later steps can use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, model_validator

from nomaflow.definitions import tokens
from nomaflow.definitions.record import MAX_DEPTH, Number, ParamName, spelled
from nomaflow.definitions.steps.common import ConnectorRef, OptionText, StepCommon
from nomaflow.definitions.tokens import TOKEN

MAX_BYTES = 16 * 1024 * 1024
"""What is read of an answer at most, whatever a step asks for: parsing more would hold up every run of the engine."""

MAX_REDIRECTS = 5

GIVEN = ("status", "elapsed_ms", "body_preview")
"""What every answer's output has."""

_BY_CONNECTOR = ("authorization", "proxy-authorization")
_BY_PROTOCOL = (
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
_WITHOUT_BODY = ("GET", "HEAD")


def _check_header(name: str) -> str:
    if name.lower() in _BY_CONNECTOR:
        raise ValueError(
            "is none of a step's own: who signs in stands in the connector's `auth`, which keeps it from other hosts"
        )
    if name.lower() in _BY_PROTOCOL:
        raise ValueError("is made from the request; leave it out")
    return name


def _check_url(url: str) -> str:
    if url.startswith("${"):
        return url
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url):
        try:
            parts = urlsplit(TOKEN.sub("0", url))
            is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid:
            raise ValueError("must begin with http:// or https:// and a host, or be a path below the connector's url")
        if "@" in parts.netloc:
            raise ValueError("must not hold a name or password; the connector's `auth` does")
    return url


def _check_status(status: int | str) -> int | str:
    is_known = 100 <= status <= 599 if isinstance(status, int) else re.fullmatch("[1-5]xx", status)
    if not is_known:
        raise ValueError("must be a status such as 404, or all of a kind such as `2xx`")
    return status


def _check_body(body: JsonValue) -> JsonValue:
    for text, depth in _texts(body):
        if depth > MAX_DEPTH:
            raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
        tokens.check(text)
    return body


def _texts(value: Any, depth: int = 0) -> Iterator[tuple[str, int]]:
    """Every text of a JSON value and how deep it lies; none below the first that lies too deep."""
    if isinstance(value, str):
        yield value, depth
    elif depth > MAX_DEPTH:
        yield "", depth
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, depth + 1)


HeaderName = Annotated[
    str,
    spelled(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$", "the name of a header, such as Accept"),
    AfterValidator(_check_header),
]
Url = Annotated[OptionText, AfterValidator(_check_url)]
Value = bool | Number | OptionText
Status = Annotated[int | str, AfterValidator(_check_status)]
Pointer = Annotated[
    str,
    spelled(
        r"^(/([^~/]|~[01])*)*$",
        "a JSON pointer: `/items/0/id` is a path into the answer, an empty text all of it",
        max_length=1000,
    ),
]


class Http(StepCommon):
    """One request; the answer's status says whether the step has succeeded.

    With a `connector`, `url` is a path below its url, or an address on the same host, and its `auth` signs the request.
    Without one, `url` is an address that anybody can reach: private ones need a connector with `allow_private`.
    `body` is sent as JSON where it is a table or a list, and as it stands where it is a text; `form` as the fields of a
    form. `outputs` names parts of a JSON answer for later steps, as `${out:step.name}`.
    """

    runs_in_engine: ClassVar = True
    literal_options: ClassVar = frozenset({"outputs", "expected_statuses"})
    connector_options: ClassVar = (("connector",),)
    connector_kinds: ClassVar = {"connector": "http"}

    type: Literal["http"]
    connector: ConnectorRef | None = None
    url: Url | None = None
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[HeaderName, Annotated[OptionText, Field(max_length=8192)]], Field(max_length=100)] = {}
    query: Annotated[dict[Annotated[str, Field(min_length=1, max_length=200)], Value], Field(max_length=200)] = {}
    body: Annotated[JsonValue, AfterValidator(_check_body)] = None
    form: Annotated[dict[Annotated[str, Field(min_length=1, max_length=200)], Value], Field(max_length=200)] | None = (
        None
    )
    expected_statuses: Annotated[list[Status], Field(min_length=1, max_length=100)] = [200, 201, 202, 204]
    outputs: Annotated[dict[ParamName, Pointer], Field(max_length=50)] = {}
    idempotent: bool = False
    max_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = 4 * 1024 * 1024
    max_redirects: Annotated[int, Field(ge=0, le=MAX_REDIRECTS)] = MAX_REDIRECTS
    connect_timeout_seconds: Annotated[Number, Field(gt=0, le=300)] = 10

    @model_validator(mode="after")
    def _hangs_together(self) -> Http:
        if self.url is None and self.connector is None:
            raise ValueError("needs a url, a connector, or both")
        if self.connector is None and self.url and not re.match(r"https?://|\$\{", self.url):
            raise ValueError("has a url without http:// or https://; name the connector that it is a path of")
        if self.body is not None and self.form is not None:
            raise ValueError("has both body and form; keep one of them")
        if self.method in _WITHOUT_BODY and (self.body is not None or self.form is not None):
            raise ValueError(f"sends {self.method}, which takes no body; use POST, or `query` for what is asked")
        if double := sorted(set(self.outputs).intersection(GIVEN)):
            raise ValueError(f"names an output {double[0]!r}, which every answer has; choose another name")
        names = [name.lower() for name in self.headers]
        if len(set(names)) < len(names):
            raise ValueError("has a header twice; upper and lower case are the same")
        return self

    @property
    def detail(self) -> str:
        """Method and address, without the query."""
        place = " ".join(part for part in (self.connector, self.url) if part)
        return f"{self.method} {place.partition('?')[0]}"[:200]
