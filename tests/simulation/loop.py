"""The loop of the simulation: time jumps to the next timer, and everything belongs to a process that may die or stand still.

A process is a name and the tasks that were started in its context; what it starts itself belongs to it as well. Between any
two steps of its tasks, which is at any await, it may be killed: then none of its steps is run any more save those that
unwind it, its timers are dropped, and whoever it talks to hears of its end later. It may also stand still (SIGSTOP): then
its steps wait, in their order.

Nothing here is random: who runs next is a function of what was asked before, so a run is a function of its seed.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.simulation.weather import Weather

SECOND = 1_000_000
_OUTSIDE = contextvars.Context()
PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class Deadlock(RuntimeError):  # noqa: N818  what it is
    """Everybody waits, and nobody for a timer."""


class Process:
    """dead: it was killed, or has ended; ``at_death``: called once, outside, when it has."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.loop, self.name = loop, name
        self.dead = False
        self.steps = 0
        self.doom: int | None = None
        """The step before which it is killed."""
        self.at_death: list[Callable[[], None]] = []
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._still = False
        self._waiting: list[_Step] = []

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loop.create_task(coroutine, context=self.context.copy())

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=_OUTSIDE)

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Has something that comes from outside done by the process, after what it was about to do."""
        self.loop.call_soon(callback, *args, context=self.context.copy())

    def step(self, step: _Step) -> None:
        if self.dead:
            if not step.timer:  # a task that unwinds
                step.run()
        elif self._still:
            self._waiting.append(step)
        else:
            self.steps += 1
            if self.steps == self.doom:
                self.kill()
            if not (self.dead and step.timer):
                step.run()

    def kill(self) -> None:
        """Its memory is gone: nothing that it would have done is done."""
        if self.dead:
            return
        self.dead, self._still = True, False
        for task in sorted(self._tasks, key=_number):
            task.cancel()
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            self.loop.outside(self.step, step)
        for each in self.at_death:
            self.loop.outside(each)

    def endanger(self, weather: Weather) -> None:
        """It asks somebody something: it may die before it hears the answer, or right after."""
        if weather.bad("crash_at_call", 0.002):
            self.doom = self.steps + weather.random.randrange(1, 8)

    def stand_still(self) -> None:
        self._still = True

    def go_on(self) -> None:
        waiting, self._waiting, self._still = self._waiting, [], False
        for step in waiting:
            self.loop.outside(self.step, step)


class _Step:
    """Something that a process is about to do. handle: by which it may be called off until then."""

    handle: asyncio.Handle

    def __init__(
        self, context: contextvars.Context, callback: Callable[..., object], args: tuple[Any, ...], *, timer: bool
    ) -> None:
        self.timer = timer
        self._context, self._callback, self._args = context, callback, args

    def run(self) -> None:
        if not self.handle.cancelled():
            self._context.run(self._callback, *self._args)


class VirtualLoop(asyncio.BaseEventLoop):
    """``errors``: what was raised where nobody catches it."""

    def __init__(self, wall_us: int) -> None:
        super().__init__()
        self.wall_us = wall_us
        self.errors: list[BaseException] = []
        self._seconds = 1000.0
        self._selector = _Jump(self)
        self._started = 0
        self.set_task_factory(self._task)
        self.set_exception_handler(self._error)

    def time(self) -> float:
        return self._seconds

    def jump(self, timeout: float | None) -> None:
        if timeout is None:
            raise Deadlock("nothing is left to happen")
        if timeout > 0:
            self._seconds = max(self._seconds, self._scheduled[0].when())

    def now_us(self) -> int:
        """The time of day, us UTC."""
        return self.wall_us + int((self._seconds - 1000.0) * SECOND)

    def outside(self, callback: Callable[..., object], *args: Any) -> None:
        """Soon, and as nobody's step."""
        self.call_soon(callback, *args, context=_OUTSIDE)

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """As nobody's step."""
        return self.call_later(seconds, callback, *args, context=_OUTSIDE)

    # ---- what asyncio asks of a loop ------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        process = context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        step = _Step(context, callback, args, timer=False)
        step.handle = super().call_soon(process.step, step, context=_OUTSIDE)
        return step.handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        process = context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        step = _Step(context, callback, args, timer=True)
        handle = super().call_at(when, process.step, step, context=_OUTSIDE)
        step.handle = handle
        return handle

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """At once, and told a moment later: threads would make a run another one every time."""
        future = self.create_future()
        try:
            future_result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001  as a thread would
            future_result, error = None, raised

        def tell() -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(future_result)

        self.after(0.001, tell)
        return future

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Any = None
    ) -> asyncio.Task[Any]:
        self._started += 1
        task = asyncio.Task(coroutine, loop=loop, name=str(self._started), context=context)
        process = (contextvars.copy_context() if context is None else context).get(PROCESS)
        if process is not None:
            process.own(task)
            if process.dead:
                task.cancel()
        return task

    def _error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            self.errors.append(error)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no threads."""


class _Jump:
    """In place of a selector: instead of waiting, the clock is put forward."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.jump(timeout)
        return []

    def close(self) -> None:
        """Nothing is open."""


def _number(task: asyncio.Task[Any]) -> int:
    return int(task.get_name())


@contextmanager
def virtual(loop: VirtualLoop) -> Iterator[None]:
    """All who ask the module `time` are told the loop's."""
    clocks = {
        "monotonic": loop.time, "perf_counter": loop.time, "time_ns": lambda: loop.now_us() * 1000,
        "time": lambda: loop.now_us() / SECOND,
        "clock_gettime_ns": lambda _: int(loop.time() * 1e9),
    }  # fmt: skip
    with mock.patch.multiple(time, **clocks):
        asyncio.set_event_loop(None)
        try:
            yield
        finally:
            loop.close()
