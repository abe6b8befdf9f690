"""The Celery queues: hints to workers which job rows to look at, and the processes that read them.

The queue is never the truth (see docs/adr/0003-jobs-are-rows.md): messages are acknowledged before
the work, may come twice or not at all, and carry nothing but a job's id.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs, urlsplit

from celery import Celery, signals
from celery.beat import Scheduler, Service
from celery.exceptions import SecurityWarning
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerAway

from infra.database import Database, DatabaseAway
from infra.health import start_keep_alive
from infra.jobs import JobRunner, enqueue, install_nudger, rows
from infra.jobs.nudge import Nudger
from infra.metrics import observe_jobs
from infra.reconciler import forget_old, reconcile
from infra.redis import RedisError, connect
from infra.settings import Settings
from infra.storage import StorageError, open_storage
from infra.telemetry import get_logger

log = get_logger(__name__)

QUEUES: Final = ("live", "vod", "edit", "catalog")
LOOK: Final = "xitai.look"
KEY_PREFIX: Final = "x:q:"

RECONCILE_SECONDS: Final = 5.0
COUNT_SECONDS: Final = 30.0
DAY_SECONDS: Final = 86_400.0
# A broker that fails once is left alone for as long: the reconciler will have nudged by then.
_BROKER_PAUSE_SECONDS: Final = 5.0
_REDIS_CONNECT_SECONDS: Final = 1.0
# A worker waits for longer than a BRPOP of kombu's takes (1 s); who just sends a hint has other
# things to do, and a hint that is lost costs no more than the reconciler's next look.
_REDIS_REPLY_SECONDS: Final = 3.0
_HINT_REPLY_SECONDS: Final = 0.5
_REDIS_HEALTH_SECONDS: Final = 5
# Messages are acknowledged as they are taken, so only those of a worker killed in between are
# ever delivered again; whatever this does, the reconciler was there first.
_VISIBILITY_SECONDS: Final = 300
_CHILD_TASKS: Final = 50
_CHILD_MEMORY_KIB: Final = 600_000


# -- the app


def make_celery(settings: Settings, *, reply_seconds: float = _REDIS_REPLY_SECONDS) -> Celery:
    """A Celery app. Connects when first used; waits ``reply_seconds`` for a Redis that hangs."""
    app = Celery("xitai", set_as_current=False, fixups=[])
    transport = {
        # One number in all three places: the shortest of all would win (Celery, redis.rst).
        "visibility_timeout": _VISIBILITY_SECONDS,
        "global_keyprefix": KEY_PREFIX,
        "socket_connect_timeout": _REDIS_CONNECT_SECONDS,
        "socket_timeout": reply_seconds,
        "health_check_interval": _REDIS_HEALTH_SECONDS,
    }
    app.conf.update(
        broker_url=broker_url(settings.resolved_redis_url),
        broker_transport_options=transport,
        result_backend_transport_options={"visibility_timeout": _VISIBILITY_SECONDS},
        visibility_timeout=_VISIBILITY_SECONDS,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_REDIS_CONNECT_SECONDS,
        broker_pool_limit=4,
        task_queues=[_queue(name) for name in QUEUES],
        task_default_queue="catalog",
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=True,
        # One more try covers a connection that died while it lay in the pool.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.05},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_tasks_per_child=_CHILD_TASKS,
        worker_max_memory_per_child=_CHILD_MEMORY_KIB,
        beat_max_loop_interval=RECONCILE_SECONDS,
        timezone="UTC",
        enable_utc=True,
    )
    return app


def _queue(name: str) -> Queue:
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]
    return Queue(name, exchange, name)  # type: ignore[no-untyped-call]


def broker_url(redis_url: str) -> str:
    """redis-py's URL of a Unix socket in kombu's spelling; any other URL as it is."""
    url = urlsplit(redis_url)
    if url.scheme != "unix":
        return redis_url
    database = parse_qs(url.query).get("db", ["0"])[0]
    login = f"{url.netloc}" if "@" in url.netloc else ""
    return f"redis+socket://{login}{url.path}?virtual_host={database}"


class CeleryNudger:
    """Sends hints through Celery, never raising, in about 2 s at worst (a Redis that hangs)."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_celery(settings, reply_seconds=_HINT_REPLY_SECONDS)
        self._away_until = 0.0

    def __call__(self, job_id: int, queue: str) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            self._app.send_task(LOOK, (job_id,), queue=queue, ignore_result=True)
        except (KombuError, BrokerAway, OSError, RedisError) as error:
            self._away_until = time.monotonic() + _BROKER_PAUSE_SECONDS
            log.warning("not nudged", job=job_id, queue=queue, why=type(error).__name__)


def connect_queue(settings: Settings) -> CeleryNudger:
    """Make :func:`infra.jobs.enqueue` nudge workers from this process on (web, ingest, CLI)."""
    nudger = CeleryNudger(settings)
    install_nudger(nudger)
    return nudger


def queue_lengths(settings: Settings) -> Callable[[str], int]:
    """A function that counts the hints waiting in a queue; 0 when Redis is away."""
    client = connect(settings)

    def length(queue: str) -> int:
        try:
            # kombu's list for the one priority in use.
            return int(client.llen(KEY_PREFIX + queue))
        except RedisError:
            return 0

    return length


# -- the worker


def parts_of(queues: Sequence[str]) -> tuple[str, ...]:
    """What a worker for these queues is to an instance (see ``infra.health.PARTS``)."""
    parts = {"live": "worker-live", "edit": "worker-edit"}
    return tuple(dict.fromkeys(parts.get(queue, "worker-work") for queue in queues))


def run_worker(
    settings: Settings,
    queues: Sequence[str],
    name: str,
    handler_modules: Sequence[str],
    *,
    slots: int | None = None,
) -> int:
    """Run a worker for ``queues`` in this process until SIGTERM or SIGINT; its exit code.

    ``handler_modules`` are imported so that they register their job handlers. The queue `live`
    needs a worker of its own: its jobs last for hours and share one process (threads, ``slots``
    of them, default ``settings.live_slots``); what they do is watch FFmpeg. All others run in a
    child process, one at a time (``slots`` children), which may grow or crash without harm.
    """
    if unknown := set(queues) - set(QUEUES):
        raise ValueError(f"unknown queues: {', '.join(sorted(unknown))}")
    threads = "live" in queues
    if not queues or (threads and set(queues) != {"live"}):
        raise ValueError("the queue live needs a worker of its own")
    for module in handler_modules:
        importlib.import_module(module)
    nudger = connect_queue(settings)
    app = make_celery(settings)
    node = _Node(settings, nudger, tuple(queues), isolated=not threads)
    app.task(node.look, name=LOOK, ignore_result=True)
    _connect_signals(node)
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
    # About pickled messages, as root: ours are JSON, and the smallest installation runs as root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    worker = app.Worker(
        hostname=f"{name}@{os.uname().nodename}",
        queues=list(queues),
        pool="threads" if threads else "prefork",
        concurrency=slots or (settings.live_slots if threads else 1),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
        loglevel=settings.log_level.upper(),
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


class _Node:
    """One worker: its main process and, when ``isolated``, what its children do."""

    def __init__(
        self,
        settings: Settings,
        nudger: Nudger,
        queues: tuple[str, ...],
        *,
        isolated: bool,
    ) -> None:
        self._settings = settings
        self._nudger = nudger
        self._queues = queues
        self._isolated = isolated
        self._lock = threading.Lock()
        self._runner: tuple[int, JobRunner] | None = None
        self.stopping = threading.Event()
        # Closed by the main process when it stops (or dies): that is how its children learn of
        # it, who get no signal and must not poll.
        self._stop_reader, self._stop_writer = os.pipe()

    def look(self, job_id: int) -> None:
        """The task. A thin shell: what goes wrong here is told, and asked again later."""
        try:
            self.runner().look(job_id)
        except DatabaseAway as error:
            log.warning("could not look", job=job_id, why=type(error).__name__)

    def runner(self) -> JobRunner:
        """This process's runner: a child must not use the connections of its parent."""
        with self._lock:
            if self._runner is None or self._runner[0] != os.getpid():
                db = Database(
                    self._settings.resolved_database_url,
                    name="xitai-worker",
                    # Per job: the handler's own transaction and the renewal of its lease.
                    pool_size=2 * self._settings.live_slots if not self._isolated else 2,
                )
                abandon = _kill_self if self._isolated else None
                runner = JobRunner(db, self._settings, self.stopping, abandon=abandon)
                self._runner = os.getpid(), runner
            return self._runner[1]

    def on_child_start(self, **_: object) -> None:
        os.close(self._stop_writer)
        threading.Thread(target=self._await_stop, name="await-stop", daemon=True).start()

    def _await_stop(self) -> None:
        os.read(self._stop_reader, 1)
        self.stopping.set()

    def on_ready(self, **_: object) -> None:
        # As Ctrl-C: Celery's own first answer to it is to drop what is running.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
        threading.Thread(target=self._look_around, name="look-around", daemon=True).start()
        for part in parts_of(self._queues):
            start_keep_alive(self._settings, part)

    def _look_around(self) -> None:
        """At the start, look at once for jobs that are due or whose worker is gone: this worker
        may be the successor of one that was killed, with viewers waiting."""
        db = Database(self._settings.resolved_database_url, name="xitai-worker-start", pool_size=1)
        try:
            reconcile(db, self._nudger, queues=self._queues)
        except DatabaseAway as error:
            log.warning("could not look around", why=type(error).__name__)
        finally:
            db.close()

    def on_stop(self, **_: object) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            os.close(self._stop_writer)


def _connect_signals(node: _Node) -> None:
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_process_init.connect(node.on_child_start, weak=False)
    signals.worker_ready.connect(node.on_ready, weak=False)
    signals.worker_shutting_down.connect(node.on_stop, weak=False)


def _keep_logging(**_: object) -> None:
    """That somebody listens to this signal keeps Celery from setting up logging of its own."""


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# -- beat


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job to promise again and again, while none of its kind is open."""

    kind: str
    queue: str
    every_seconds: float


def run_beat(settings: Settings, periodic: Sequence[Periodic] = ()) -> None:
    """Run the clock in this process until SIGTERM or SIGINT: reconciler, old rows, ``periodic``.

    One per installation; a second one does no harm.
    """
    nudger = connect_queue(settings)
    app = make_celery(settings)
    db = Database(settings.resolved_database_url, name="xitai-beat", pool_size=1)
    works = {
        "reconcile": _Work(
            RECONCILE_SECONDS, _reconciling(db, nudger, queue_lengths(settings)), at_start=True
        ),
        "count jobs": _Work(COUNT_SECONDS, lambda: _count(db), at_start=True),
        "forget old jobs": _Work(DAY_SECONDS, lambda: forget_old(db), at_start=True),
        "sweep storage": _Work(DAY_SECONDS, lambda: _sweep(settings), at_start=True),
    }
    for job in periodic:
        works[f"promise {job.kind}"] = _Work(job.every_seconds, _promising(db, job))
    app.conf.beat_schedule = {
        name: {"task": name, "schedule": work.every_seconds} for name, work in works.items()
    }
    for name, work in works.items():
        if work.at_start:
            _do(name, work)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    logging.getLogger("celery.beat").setLevel(logging.WARNING)
    _Scheduler.works = works
    try:
        Service(app, scheduler_cls=_Scheduler).start()
    except SystemExit:
        log.info("beat stops")
    finally:
        db.close()


@dataclass(frozen=True, slots=True)
class _Work:
    every_seconds: float
    run: Callable[[], object]
    at_start: bool = False


class _Scheduler(Scheduler):  # type: ignore[misc]
    """Celery's clock with the schedule in memory, since it is fixed: a file of it could be broken
    by a kill. What is due is done right here. Sent through the queue, the repair of the queue
    would need the queue, and wait behind a long job."""

    works: dict[str, _Work] = {}  # filled in before Celery makes the instance
    producer = None  # Celery would connect to the broker before each entry, and wait for it.

    def apply_async(self, entry: Any, **_: object) -> None:
        _do(entry.task, self.works[entry.task])


def _do(name: str, work: _Work) -> None:
    try:
        work.run()
    except DatabaseAway as error:
        log.warning("beat could not work", work=name, why=type(error).__name__)


def _reconciling(
    db: Database, nudger: Nudger, lengths: Callable[[str], int]
) -> Callable[[], object]:
    return lambda: reconcile(db, nudger, queue_length=lengths)


def _count(db: Database) -> None:
    with db.transaction() as session:
        counts = rows.count_by_state(session)
    observe_jobs(counts)


def _sweep(settings: Settings) -> None:
    """What killed processes left half written. None writes one object for as long as a day."""
    try:
        swept = open_storage(settings).sweep(DAY_SECONDS)
    except StorageError as error:
        log.warning("storage not swept", why=str(error))
    else:
        log.info("storage swept", dropped=swept)


def _promising(db: Database, job: Periodic) -> Callable[[], None]:
    def run() -> None:
        with db.transaction() as session:
            enqueue(session, kind=job.kind, queue=job.queue, args={}, unique_key=job.kind)

    return run


def _exit(*_: object) -> NoReturn:
    raise SystemExit(0)
