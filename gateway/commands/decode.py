"""`lezgate decode`: frames in hex, one JSON object per packet on standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import orjson

from protocols.jt808.describe import describe_all

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command(short_help="Decode JT/T 808 packets given in hex | 解码十六进制报文")
@click.argument("frames", nargs=-1, metavar="[HEX ...]")
def decode(frames: tuple[str, ...]) -> None:
    """Decode JT/T 808 packets given in hex; `-` or nothing reads lines from standard input | 解码十六进制报文

    Flags (7e) may be there or not. A bad frame is an object with an `error`, and the exit status stays 0.
    错误的报文输出带 error 字段的对象，退出码仍为 0。
    """
    for frame in frames or ("-",):
        for line in _standard_input() if frame == "-" else (frame,):
            for packet in describe_all(line):
                click.echo(orjson.dumps(packet))


def _standard_input() -> Iterator[str]:
    """Its lines, as they come; blank ones are nothing, and bytes that are no text are a line that does not read."""
    for line in sys.stdin.buffer:
        if text := line.decode("utf-8", "replace").strip():
            yield text
