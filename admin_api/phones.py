"""Terminal phones in addresses and bodies: with or without leading zeros they are one terminal."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator

# JT/T 808-2019 has 20 digits; a packed IMEI is x and hex (docs/architecture.md, identity).
_IDENTITY = re.compile(r"[0-9]{1,20}|x[0-9a-f]{1,20}")


def normalise(text: str) -> str:
    """The identity that a phone stands for. Raises ValueError where it can be none."""
    text = text.strip().lower()
    if not _IDENTITY.fullmatch(text):
        raise ValueError("a phone is 1 to 20 digits | 终端手机号应为 1 至 20 位数字")
    return text if text.startswith("x") else text.lstrip("0") or "0"


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


PhoneText = Annotated[str, BeforeValidator(_as_text), AfterValidator(normalise)]
Phone = Annotated[str, AfterValidator(normalise), Path()]
