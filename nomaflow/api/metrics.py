"""Figures for Prometheus: a registry of our own, so that two engines in one process do not mix theirs."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from nomaflow.wire import RunState

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

TERMINAL = [state for state in RunState if state.is_terminal]


class Metrics:
    """What the engine counts. No label holds a job's name, so whoever may read them learns none."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "nomaflow_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._runs = Counter("nomaflow_runs", "Runs that ended", ["state"], registry=self.registry)
        for state in TERMINAL:
            self._runs.labels(state)
        self._gauges: dict[str, Gauge] = {}

    def count_request(self, method: str, route: str, status: int) -> None:
        """One answered request; `route` is the path as it is declared."""
        self._requests.labels(method, route, str(status)).inc()

    def count_run(self, state: RunState) -> None:
        """One run that ended; whoever ends runs calls this."""
        self._runs.labels(state).inc()

    def observe(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read when the figures are asked for, so `read` has to be cheap."""
        gauge = self._gauges.setdefault(name, Gauge(name, meaning, registry=self.registry))
        gauge.set_function(read)

    def text(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self.registry)
