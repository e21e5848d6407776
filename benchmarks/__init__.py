"""Benchmarks: what a report costs, beside the least that this machine can do. `make bench`, or `python -m benchmarks`."""
