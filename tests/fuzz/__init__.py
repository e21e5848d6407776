"""Fuzz targets, one per entry point: each names the only exceptions that it allows. docs/reliability.md has the figures."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("frames", "bodies", "conversation", "reassembly", "batch")
"""Modules of this folder with check(data), which raises on a finding, and seeds(), whole inputs to begin with."""
