"""Runs the plan: starts processes, asks whether they answer, stops them, leaves none behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.embedded.folders import SetupError
from infra.processes import lines, orphans
from infra.processes.checks import Check
from infra.processes.command import Command
from infra.processes.plan import Action, Do, Event, PartSpec, Plan, State
from infra.telemetry import get_logger

CHECK_SECONDS: Final = 0.1
"""Between questions to a part that is starting."""
WATCH_SECONDS: Final = 5.0
"""Between questions to a part that is ready."""
ORPHAN_SECONDS: Final = 2.0

_GUARDIAN: Final = Path(__file__).with_name("guardian.py")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the instance: what the plan must know, what to run, how to ask."""

    spec: PartSpec
    command: Callable[[int], Command]
    """Given how often in a row it has failed, prepares (may block) and says what to run."""
    is_ready: Check | None = None
    """May block for two seconds. None: ready as soon as it runs; or, with ``once``, has ended."""
    is_alive: Check | None = None
    """Asked while it is ready, if it has a stall time; None: ``is_ready``."""
    once: bool = False
    """It has one thing to do; exit code 0 means done."""
    own_lines: bool = True
    """It logs as we do (infra.telemetry)."""


class StartFailed(Exception):
    """The instance cannot start; the message is a plain sentence."""


class Supervisor:
    """One run of all parts, from start to stop.

    ``marker``: VARIABLE=VALUE that every descendant carries in its environment. ``lock_fd``: the
    instance lock, for the guardian to hold on to. ``on_change``: told the pids of the parts
    whenever they change. ``on_up``: called in a thread, once, when every part has answered.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        marker: str,
        lock_fd: int,
        on_change: Callable[[dict[str, int]], None],
        on_up: Callable[[], None],
    ) -> None:
        self._parts = {part.spec.name: part for part in parts}
        self._plan = Plan([part.spec for part in parts], time.monotonic())
        self._marker = marker
        self._lock_fd = lock_fd
        self._on_change = on_change
        self._on_up = on_up
        self._running: dict[str, tuple[asyncio.subprocess.Process, Command]] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._preparing = 0
        """Starts under way whose pid is not known yet."""
        self._changed = asyncio.Event()
        self._announcing: asyncio.Task[None] | None = None
        self._failed: StartFailed | None = None
        self._broken: BaseException | None = None

    # --- the whole ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until everything has stopped. Raises :class:`StartFailed`."""
        orphans.become_reaper()
        guardian = self._start_guardian()
        sweeper = asyncio.create_task(self._sweep())
        try:
            await self._run_plan()
        finally:
            sweeper.cancel()
            self._end_all()
            self._tell_guardian("bye")
            guardian.wait()
        if self._broken is not None:
            raise self._broken
        if self._failed is not None:
            raise self._failed

    async def _run_plan(self) -> None:
        self._do(self._plan.tick(time.monotonic()))
        while not self._plan.all_stopped and self._broken is None:
            await self._sleep()
            self._do(self._plan.tick(time.monotonic()))
            if self._plan.stopping:
                continue
            if hopeless := self._plan.hopeless:
                self._give_up(f"{hopeless} does not start; its lines in the log say why.")
            if self._plan.all_up and self._announcing is None:
                self._announcing = asyncio.create_task(asyncio.to_thread(self._on_up))
        if self._announcing is not None:
            await self._announcing
        await asyncio.gather(*self._lives.values(), return_exceptions=True)

    async def _sleep(self) -> None:
        """Until something was observed or the plan's next deadline."""
        deadline = self._plan.next_deadline()
        pause = None if deadline is None else max(0.0, deadline - time.monotonic())
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), pause)
        self._changed.clear()

    def stop(self) -> None:
        """Stop in order; when called again: at once."""
        if not self._plan.stopping:
            log.info("stopping")
            self._do(self._plan.stop(time.monotonic()))
            self._changed.set()
            return
        log.warning("killing every part")
        for process, _ in self._running.values():
            orphans.kill_group(process.pid)

    def _give_up(self, message: str) -> None:
        self._failed = self._failed or StartFailed(message)
        if not self._plan.stopping:
            self.stop()

    def _observe(self, name: str, event: Event) -> None:
        self._do(self._plan.observe(name, event, time.monotonic()))
        self._changed.set()

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            name = action.part
            if action.do is Do.SPAWN:
                life = asyncio.create_task(self._live(name), name=f"live-{name}")
                life.add_done_callback(self._life_over)
                self._lives[name] = life
            elif name not in self._running:
                continue  # Still being prepared: _live looks at the plan once it is there.
            elif action.do is Do.ASK:
                process, command = self._running[name]
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(command.stop_signal)
            elif action.do is Do.KILL:
                log.warning("killing", child=name, state=self._plan.state(name).value)
                orphans.kill_group(self._running[name][0].pid)

    def _life_over(self, task: asyncio.Task[None]) -> None:
        """An error in here is our own bug: stop everything and let it be seen."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = self._broken or error
            self._changed.set()

    # --- one life of one part ----------------------------------------------------------------

    async def _live(self, name: str) -> None:
        """Prepare, spawn, watch, and say when it is over."""
        part = self._parts[name]
        self._preparing += 1
        try:
            command = await asyncio.to_thread(part.command, self._plan.failures(name))
            process, pipe = await self._spawn(command)
        except (SetupError, OSError) as e:
            self._preparing -= 1
            log.error("cannot start", child=name, error=str(e))
            if isinstance(e, SetupError) and self._announcing is None:
                self._give_up(str(e))
            self._observe(name, Event.EXITED)
            return
        self._running[name] = (process, command)
        self._preparing -= 1
        log.info("started", child=name, pid=process.pid, failures=self._plan.failures(name))
        self._tell_guardian(f"+{process.pid}")
        self._on_change(self._pids())
        if self._plan.state(name) is State.STOPPING:
            process.send_signal(command.stop_signal)
        reading = asyncio.create_task(self._read(part, pipe))
        asking = asyncio.create_task(self._ask(part))
        asking.add_done_callback(self._life_over)
        code = await process.wait()
        asking.cancel()
        orphans.kill_group(process.pid)
        self._end_orphans()
        # A descendant in a session of its own may still hold the pipe for a moment.
        await asyncio.wait([reading], timeout=1.0)
        reading.cancel()
        del self._running[name]
        self._tell_guardian(f"-{process.pid}")
        self._on_change(self._pids())
        expected = self._plan.stopping or (part.once and code == 0)
        (log.info if expected else log.warning)("ended", child=name, pid=process.pid, code=code)
        self._observe(name, Event.FINISHED if part.once and code == 0 else Event.EXITED)

    async def _spawn(self, command: Command) -> tuple[asyncio.subprocess.Process, int]:
        """Start it in a session of its own; returns it and the pipe its lines come out of."""
        ours, its = os.pipe()
        environment = dict(os.environ if command.env is None else command.env)
        variable, _, value = self._marker.partition("=")
        try:
            process = await asyncio.create_subprocess_exec(
                *command.launch_argv(),
                env=environment | {variable: value},
                cwd=command.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its,
                stderr=its,
                start_new_session=True,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(its)
        return process, ours

    async def _read(self, part: Part, pipe: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", 0)
        )
        try:
            write = lines.finished_line if part.own_lines else lines.foreign_line(part.spec.name)
            await lines.read_lines(reader, write)
        finally:
            transport.close()

    async def _ask(self, part: Part) -> None:
        """Ask again and again whether it answers, first often, then now and then."""
        name = part.spec.name
        if part.once:
            return
        while part.is_ready and not await asyncio.to_thread(part.is_ready):  # noqa: ASYNC110
            await asyncio.sleep(CHECK_SECONDS)  # Another process: there is no event to wait for.
        if self._plan.state(name) is State.STARTING:
            log.info("ready", child=name)
        self._observe(name, Event.ANSWERED)
        is_alive = part.is_alive or part.is_ready
        while part.spec.stall_seconds is not None and is_alive is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if await asyncio.to_thread(is_alive):
                self._observe(name, Event.ANSWERED)

    def _pids(self) -> dict[str, int]:
        return {name: process.pid for name, (process, _) in self._running.items()}

    # --- nothing is left behind --------------------------------------------------------------

    def _start_guardian(self) -> subprocess.Popen[bytes]:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARDIAN), self._marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self._lock_fd,),
        )
        return self._guardian

    def _tell_guardian(self, words: str) -> None:
        pipe = self._guardian.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # Somebody killed it; we are still here.
            pipe.write(words.encode() + b"\n")
            pipe.flush()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(ORPHAN_SECONDS)
            self._end_orphans()

    def _end_orphans(self) -> None:
        if self._preparing:
            return  # A child that is being started could not be told from an orphan.
        ours = {process.pid for process, _ in self._running.values()} | {self._guardian.pid}
        if ended := orphans.end_orphans(ours):
            log.info("ended orphans", pids=ended)

    def _end_all(self) -> None:
        """After an orderly stop there is nothing to do here."""
        for process, _ in self._running.values():
            orphans.kill_group(process.pid)
        deadline = time.monotonic() + 2.0
        while orphans.end_orphans({self._guardian.pid}) and time.monotonic() < deadline:
            time.sleep(0.02)
