"""The form of a search, whatever its keys mean: terms, each with its values and the characters where they stand."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nomaflow.errors import InvalidError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_LENGTH = 500
MAX_TERMS = 30

# A name is told from a word by the operator behind it; blanks may stand round the operator, so that `dur > 5m` is what
# it looks like. Behind an operator or a comma everything up to the next blank, comma or quote is the value.
_GRAMMAR = r"""
search: term*
term: NOT? (key | param | measure | words)
key: KEY ":" values
param: PARAM (EQUALS | DIFFERS) values
measure: MEASURE ORDER values
words: _word ("," _value)*
values: _value ("," _value)*
_word: QUOTED | WORD
_value: QUOTED | BARE

NOT: /-(?=[^\s,-])/
KEY.2: /[^\W\d][\w.-]*(?=\s*:)/
PARAM.2: /[^\W\d][\w.-]*(?=\s*!?=)/
MEASURE.2: /[^\W\d][\w.-]*(?=\s*[<>])/
EQUALS: "="
DIFFERS: "!="
ORDER: /[<>]=?/
QUOTED: /"(?:[^"\\]|\\.)*"/s
WORD: /[^\s,"\-:=<>!][^\s,"]*/
BARE: /[^\s,"]+/
BLANK: /\s+/
%ignore BLANK
"""

# What phones and chat programs make of a straight quote.
_STRAIGHT = str.maketrans("“”„‟", '""""')


@dataclass(frozen=True)
class Written:
    """A value as it stands in the text; `position` counts characters from 1."""

    text: str
    is_quoted: bool
    position: int


@dataclass(frozen=True)
class WrittenTerm:
    """A term as it stands in the text. Words have neither a name nor an operator."""

    name: str
    operator: str
    values: tuple[Written, ...]
    is_negated: bool
    position: int


def problem(message: str, position: int, hint: str = "") -> InvalidError:
    """What is wrong with the text, and where; the hint goes behind the place."""
    sentence = f"{message} at character {position}{hint}"
    return InvalidError(sentence, details=[{"path": "q", "message": sentence, "position": position}])


def terms(text: str) -> list[WrittenTerm]:
    """The terms of a search, in order.

    Raises:
        InvalidError: too long, or not of the form; its detail has the `position` of the first wrong character.
    """
    if len(text) > MAX_LENGTH:
        message = f"a search has at most {MAX_LENGTH} characters, this one has {len(text)}"
        raise InvalidError(message, details=[{"path": "q", "message": message}])
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise problem(f"the character U+{ord(character):04X} can't be searched for,", position)
    text = text.translate(_STRAIGHT)
    if not text.strip():
        return []
    found = [_term(tree) for tree in _parsed(text).children]
    if len(found) > MAX_TERMS:
        raise problem(f"a search has at most {MAX_TERMS} terms; one too many begins", found[MAX_TERMS].position)
    return found


@cache
def _parser() -> Lark:
    # It takes a tenth of a second and 10 MB, which only those pay who search.
    from lark import Lark

    return Lark(_GRAMMAR, start="search", parser="lalr", lexer="contextual", keep_all_tokens=False)


def _parsed(text: str) -> Tree[Token]:
    from lark.exceptions import UnexpectedInput

    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise _unfit(text, error) from None


def _unfit(text: str, error: UnexpectedInput) -> InvalidError:
    end = len(text.rstrip())
    place = end if getattr(getattr(error, "token", None), "type", "") == "$END" else error.pos_in_stream or 0
    match text[place : place + 1]:
        case '"':
            return problem("a quote is opened and not closed", place + 1)
        case ",":
            return problem("there is no value before the comma", place + 1)
        case "-":
            return problem("there is no term right behind the -", place + 1, "; -tag:etl leaves out what has that tag")
        case ":" | "=" | "<" | ">" | "!" as operator:
            return problem(f"there is no name before the {operator}", place + 1, "; text like this goes into quotes")
        case _:
            return problem(f"a value is missing behind {text[:end].split()[-1]}", place + 1)


def _term(tree: Any) -> WrittenTerm:
    *negation, body = tree.children
    position = (negation[0] if negation else next(body.scan_values(lambda _: True))).start_pos + 1
    if body.data == "words":
        return WrittenTerm("", "", tuple(map(_value, body.children)), bool(negation), position)
    name, *operator, values = body.children
    text = str(operator[0]) if operator else ":"
    return WrittenTerm(str(name), text, tuple(map(_value, values.children)), bool(negation), position)


def _value(token: Any) -> Written:
    if token.type != "QUOTED":
        return Written(str(token), is_quoted=False, position=token.start_pos + 1)
    text = re.sub(r'\\(["\\])', r"\1", token[1:-1])
    return Written(text, is_quoted=True, position=token.start_pos + 1)
