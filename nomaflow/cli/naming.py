"""Which run somebody means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nomaflow.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from nomaflow.client import Client

_DIGIT = "[0-9A-HJKMNP-TV-Z]"


def resolve(client: Client, text: str) -> str:
    """The id of the run that is meant: an id, the unique end of one, or a job, for its active or else newest run.

    Raises:
        NotFoundError: no such run, or the job has none yet.
        InvalidError: several runs end so.
    """
    from nomaflow.definitions.problems import near_miss

    end = text.upper().removeprefix("RUN_")
    if text.lower().startswith("run_") and re.fullmatch(f"{_DIGIT}{{13,}}", end):
        return f"run_{end}"
    cards = {card.id: card for card in client.jobs()}
    if card := cards.get(text):
        active = [run.id for run in card.active_runs]
        newest = active or [run.id for run in client.runs_page(job=text, limit=1).items]
        if not newest:
            raise NotFoundError(f"{text} has not run yet; start it with `nomaflow run {text}`")
        return newest[0]
    if not re.fullmatch(f"{_DIGIT}{{4,13}}", end):
        raise NotFoundError(f"there is no run and no job {text!r}" + near_miss(text, cards))
    found = [run.id for run in client.runs_page(q=f"run:{end}", limit=10).items]
    if len(found) > 1:
        raise InvalidError(f"several runs end in {end}: {', '.join(found[:5])}; type more of the id")
    if not found:
        raise NotFoundError(f"no run ends in {end}, and there is no job {text!r}")
    return found[0]
