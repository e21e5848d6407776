"""A child process: started so that it never outlives us, started again when it ends, replaced without a gap.

Invariants: the kernel ends a child when its parent dies; one that keeps failing is tried again ever more slowly, never
given up; while a successor is tried, the present process goes on.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
STEADY_S = 30.0  # a child that ran this long has failed for a new reason
STOP_S = 8.0
COMES_UP_S = 30.0  # a city's registry and rules are read in a few seconds
LOOK_S = 0.1
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
log = structlog.get_logger()


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A preexec_fn. prctl(2): the signal is sent when the *thread* that forked ends, so fork from the main thread."""
    parent = os.getpid()

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return arrange


class Child:
    """keep() runs until stop(). ``overlaps``: two of its processes may work at once, so a successor is tried first."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, overlaps: bool = False
    ) -> None:
        self.name = name
        self.pid = 0
        self._command = command
        self._environment = dict(environment)
        self._overlaps = overlaps
        self._stopping = False
        self._told = asyncio.Event()
        """Set where the present process is to end: to stop, to be started again, or for a successor."""
        self._successor: Process | None = None

    def stop(self) -> None:
        self._stopping = True
        self._told.set()

    def restart(self) -> None:
        self._told.set()

    async def keep(self) -> None:
        """Returns after stop(), when no process of this child is left."""
        wait = FIRST_WAIT_S
        while not self._stopping:
            begun = time.monotonic()
            self._told.clear()
            process, self._successor = self._successor or await self._start(), None
            self.pid = process.pid
            if await self._ended_by_itself(process):
                wait = FIRST_WAIT_S if time.monotonic() - begun > STEADY_S else min(2 * wait, LONGEST_WAIT_S)
                log.error("child ended; starting it again | 子进程退出，正在重新启动",
                          child=self.name, status=process.returncode, wait_s=wait)  # fmt: skip
                await asyncio.wait({asyncio.ensure_future(self._told.wait())}, timeout=wait)
            else:
                await _end(process)
                wait = FIRST_WAIT_S
        if self._successor is not None:
            await _end(self._successor)

    async def replace(self, works: Callable[[int], bool]) -> bool:
        """A new process in the place of the present one, once ``works`` says so of its pid.

        False where that takes longer than COMES_UP_S: an overlapping child is left as it was then.
        """
        before = self.pid
        if not self._overlaps:
            self.restart()
            return await self._comes_up(lambda: self.pid != before and works(self.pid))
        new = await self._start()
        try:
            worked = await self._comes_up(lambda: works(new.pid), new)
        except BaseException:
            new.terminate()
            raise
        if not worked or self._stopping:
            await _end(new)
            return False
        self._successor = new
        self.restart()
        return await self._comes_up(lambda: self.pid == new.pid)

    async def _comes_up(self, condition: Callable[[], bool], process: Process | None = None) -> bool:
        end = time.monotonic() + COMES_UP_S
        while not self._stopping and time.monotonic() < end and (process is None or process.returncode is None):
            if condition():
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            preexec_fn=die_with_parent(),
        )  # fmt: skip

    async def _ended_by_itself(self, process: Process) -> bool:
        """Waits until it has ended, or is told to."""
        told = asyncio.ensure_future(self._told.wait())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        ended.cancel()
        return process.returncode is not None and not self._told.is_set()


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
