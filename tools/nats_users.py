"""Writes deploy/nats/users.conf: the roles of gateway/nats_server.py, for a nats-server of the user's own.

Run it after a change of PERMISSIONS; a test compares the two.
"""

import json
from pathlib import Path

from gateway.nats_server import PERMISSIONS

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "nats" / "users.conf"
HEAD = """\
# Who may do what: a role of lezgate's processes each. Written by tools/nats_users.py from gateway/nats_server.py.
# A password from the environment is read as a value of this file: give it with its quotes, '"secret"', or 12e4 is a number.
"""


def text() -> str:
    users = [
        f"  {{\n    user: {role}\n    password: $NATS_{role.upper()}_PASSWORD\n    permissions: {json.dumps(allowed)}\n  }}"
        for role, allowed in PERMISSIONS.items()
    ]
    return HEAD + "authorization {\n  users: [\n" + ",\n".join(users) + "\n]}\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
