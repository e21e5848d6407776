"""Prints the number of stored reports: what `ratio --stored` compares with the acknowledged ones."""

from __future__ import annotations

import sys

import psycopg

from gateway.config import load
from gateway.nodes import database_url


def main() -> None:
    """`--rows` counts the rows themselves; otherwise the totals that the workers keep beside their offsets."""
    query = (
        "SELECT count(*) FROM position" if "--rows" in sys.argv else "SELECT coalesce(sum(stored), 0) FROM log_offset"
    )
    with psycopg.connect(database_url(load(), "owner")) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    print(row[0])


if __name__ == "__main__":
    main()
