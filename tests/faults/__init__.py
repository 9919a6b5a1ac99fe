"""Faults of the machine: a full disk, a power cut, a kill."""

from __future__ import annotations
