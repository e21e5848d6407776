"""The embedded server's database and roles: an owner that migrates, and a worker and an api that may do their work."""

from __future__ import annotations

import psycopg
from psycopg import sql

SUPERUSER = "postgres"
DATABASE = "lezgate"
ROLES = {"owner": "lezgate_owner", "worker": "lezgate_worker", "api": "lezgate_api"}


def ensure_roles(superuser_url: str, secrets: dict[str, str]) -> None:
    """Makes what is missing and sets the passwords of ``secrets``; safe to repeat.

    Raises psycopg.OperationalError where the superuser's password is not the cluster's.
    """
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        present = {name for (name,) in conn.execute("SELECT rolname FROM pg_roles")}
        for role, name in ROLES.items():
            verb = "ALTER" if name in present else "CREATE"
            # Hashed here: what the server is told in clear, it may write to its log.
            hashed = conn.pgconn.encrypt_password(secrets[f"postgres_{role}"].encode(), name.encode(), b"scram-sha-256")
            conn.execute(sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), hashed.decode()))
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            owner = sql.Identifier(ROLES["owner"])
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), owner))
        # Other roles of a shared server have no business here; ours are let in by name.
        conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE)))
        for role in ("worker", "api"):
            grant = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}")
            conn.execute(grant.format(sql.Identifier(DATABASE), sql.Identifier(ROLES[role])))
