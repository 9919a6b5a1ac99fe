"""What happened in a simulated world, in order of time, for whoever looks for a cause."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.evidence import Evidence

FAR = float("inf")


def story(evidence: Evidence, about: str = "") -> Iterator[str]:
    """A line for each thing that happened; of events, calls, files and effects only those with the text in them."""
    lines: list[tuple[float, str]] = []
    for life in evidence.lives:
        lines.append((life.began, f"== life {life.number} begins, the wall says {life.began_at}"))
        lines.append((life.ready, f"== life {life.number} is ready"))
        lines.append((life.stop_asked, f"== life {life.number} is to stop"))
        lines.append((life.ended, f"== life {life.number} {life.how[-300:]}"))
    lines += [(jump.moment, f"== the clock jumps by {jump.seconds} s") for jump in evidence.jumps]
    lines += [(each.began, f"== {each.kind} until {each.ended:.3f}") for each in evidence.troubles]
    lines.append((evidence.calm, "== calm"))
    told: list[tuple[float, str]] = []
    for each in evidence.told:
        record = each.event.record
        what = " ".join(f"{name}={record[name]}" for name in _SHOWN if record.get(name) is not None)
        event = each.event
        told.append((each.moment, f"   told {event.seq} {event.kind} {event.job_id} {event.run_id} {what}"))
    for effect in evidence.effects:
        text = f"{effect.run_id} {effect.job_id} {effect.step} try {effect.attempt}"
        told.append((effect.began, f"   begins {text} {effect.kwargs}"))
        if effect.ended is not None:
            told.append((effect.ended, f"   {effect.how} {text}"))
    for call in evidence.calls:
        told.append((call.began, f" > {call.number} {call.verb} {call.job_id} {call.given}"))
        if call.ended is not None:
            result = call.error or (getattr(call.result, "id", None) or str(call.result)[:90])
            told.append((call.ended, f" < {call.number} {call.verb} {call.job_id} {call.given} {call.answer} {result}"))
    told += [(each.moment, f"   file {each.job_id}: {(each.text or 'gone')!r}") for each in evidence.files]
    lines += [line for line in told if about in line[1]]
    for moment, line in sorted((line for line in lines if line[0] < FAR), key=lambda line: line[0]):
        yield f"{moment:14.3f} {line}"


_SHOWN = ("name", "state", "reason", "attempt", "wait_reason", "scheduled_at", "schedule", "count", "triggered_by")
