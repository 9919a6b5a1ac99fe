"""Text of a directory: search filters and distinguished names, with `{name}` for the values that are put in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILTER_SPECIAL = re.compile(r"[\x00()*\\\x80-\x9f]")
_DN_SPECIAL = re.compile(r'[\x00,+"\\<>;=]')
_SPACES = re.compile(r"\s*")
_ITEM = re.compile(r"[A-Za-z0-9.;:_-]+\s*(=|~=|>=|<=|:=)[^()]*", re.DOTALL)


class LdapTextError(ValueError):
    """The text is no filter, or has a placeholder without a value; the message ends a sentence that begins with it."""


def placeholders(text: str) -> tuple[str, ...]:
    """The names in braces, in the order of their first use."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def filled_filter(text: str, values: Mapping[str, Any]) -> str:
    """The filter with its values; none of them can become syntax (RFC 4515).

    Raises:
        LdapTextError: a value is missing.
    """
    return _filled(text, values, _escaped_in_filter)


def filled_dn(text: str, values: Mapping[str, Any]) -> str:
    """The name with its values; none of them can become syntax (RFC 4514).

    Raises:
        LdapTextError: a value is missing.
    """
    return _filled(text, values, _escaped_in_dn)


def check_filter(text: str) -> None:
    """Refuse what is surely no filter.

    Raises:
        LdapTextError: says what is wrong.
    """
    end = _end_of_filter(text, 0)
    if text[end:].strip():
        raise LdapTextError(f"goes on after the filter has ended: {text[end:][:40]!r}")


def normalized_dn(dn: str) -> str:
    """The name in one spelling: case, spaces, escapes and the order within a part make no difference.

    Text that is no name is only freed of its case.
    """
    try:
        parts = [sorted(_attribute(one) for one in _split(part, "+")) for part in _split(dn, ",;")] if dn else []
    except (LdapTextError, UnicodeDecodeError):
        return dn.casefold()
    return ",".join("+".join(f"{name}={value}" for name, value in part) for part in parts)


def _filled(text: str, values: Mapping[str, Any], escaped: Callable[[str], str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise LdapTextError(f"has {{{match[1]}}}, and search_params has no value of that name")
        given = values[match[1]]
        return escaped(str(given).upper() if isinstance(given, bool) else str(given))

    return _PLACEHOLDER.sub(value, text)


def _escaped_in_filter(value: str) -> str:
    return _FILTER_SPECIAL.sub(_as_octets, value)


def _escaped_in_dn(value: str) -> str:
    # A space or a number sign has a meaning at one end only; written as octets it has none anywhere.
    text = _DN_SPECIAL.sub(_as_octets, value)
    if text[:1] in (" ", "#"):
        text = f"\\{ord(text[0]):02x}{text[1:]}"
    return f"{text[:-1]}\\20" if text.endswith(" ") else text


def _as_octets(match: re.Match[str]) -> str:
    return "".join(f"\\{octet:02x}" for octet in match[0].encode())


def _end_of_filter(text: str, start: int) -> int:
    """Where the filter that begins at `start` ends."""
    # By hand and not by recursion: filters are nested deeper than Python likes.
    depth, position, wanted = 0, _after_spaces(text, start), True
    while position < len(text):
        letter = text[position]
        if letter == "(":
            if not wanted:
                raise LdapTextError("has a parenthesis where none can be")
            depth, position = depth + 1, _after_spaces(text, position + 1)
            if text[position : position + 1] in ("&", "|", "!"):
                position = _after_spaces(text, position + 1)
                continue
            item = _ITEM.match(text, position)
            if item is None:
                raise LdapTextError(f"has no condition such as (uid=ana) at {text[position - 1 :][:40]!r}")
            position, wanted = item.end(), False
        elif letter == ")" and depth:
            depth, position, wanted = depth - 1, _after_spaces(text, position + 1), True
            if depth == 0:
                return position
        else:
            raise LdapTextError(f"has {letter!r} where a parenthesis must be; write for example (uid=ana)")
    raise LdapTextError("has a parenthesis that is not closed" if depth else "must begin with a parenthesis")


def _after_spaces(text: str, position: int) -> int:
    match = _SPACES.match(text, position)
    assert match is not None
    return match.end()


def _split(text: str, separators: str) -> list[str]:
    """The parts between separators that are neither escaped nor quoted."""
    parts, start, position, quoted = [], 0, 0, False
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter == '"':
            quoted = not quoted
        elif letter in separators and not quoted:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise LdapTextError("is no name")
    return name.strip().lower(), _canonical(_unescaped(value))


def _unescaped(value: str) -> str:
    """What the text of a value means; a space that is escaped stays one."""
    bare = value.strip()
    escapes = len(bare) - len(bare.rstrip("\\"))
    value = f"{bare} " if escapes % 2 else bare
    if value.startswith("#"):
        return value
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    octets = re.sub(
        r"\\([0-9A-Fa-f]{2})|\\(.)|([^\\]+)|\\$",
        lambda match: chr(int(match[1], 16)) if match[1] else (match[2] or match[3] or "").encode().decode("latin-1"),
        value,
        flags=re.DOTALL,
    )
    return octets.encode("latin-1").decode()


def _canonical(value: str) -> str:
    folded = unicodedata.normalize("NFKC", " ".join(value.split())).casefold()
    return _escaped_in_dn(folded)
