"""One contract suite over both storage adapters, then the faults of each: full disk, failed flush,
killed writer; S3 that errs, stalls, cuts off or ignores conditions."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from infra.settings import Settings
from infra.storage import (
    AlreadyThere,
    InvalidKey,
    NotFound,
    Storage,
    StorageError,
    StorageFull,
    open_storage,
)
from infra.storage import s3 as s3_module
from infra.storage.folder import FolderStorage
from infra.storage.s3 import PART_MIN, PART_SIZE, S3Storage

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "stage"
Fault = Callable[[dict[str, Any]], str | None]


class FaultyS3:
    """moto behind a switch: ``fault(environ)`` answers "500", "slow", "cut", "plain" or None."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.fault: Fault = lambda _: None
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        fault = self.fault(environ)
        if fault == "500":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        if fault == "slow":
            time.sleep(1.5)
        if fault == "plain":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        answer: Iterable[bytes] = self._app(environ, start)
        return _cut(answer) if fault == "cut" else answer


def _cut(answer: Iterable[bytes]) -> Iterator[bytes]:
    yield b"".join(answer)[:10]
    raise ConnectionResetError


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyS3]:
    faulty = FaultyS3()
    thread = threading.Thread(target=faulty.server.serve_forever, daemon=True)
    thread.start()
    yield faulty
    faulty.server.shutdown()
    thread.join()
    faulty.server.server_close()


@pytest.fixture(scope="module")
def bucket(faulty: FaultyS3) -> Iterator[S3Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(s3_module, "READ_TIMEOUT_SECONDS", 1)
        client = boto3.client("s3", endpoint_url=faulty.url)
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()


@pytest.fixture(scope="module")
def opened(faulty: FaultyS3, bucket: S3Client) -> S3Storage:
    storage = open_storage(Settings(storage_url=f"s3://{BUCKET}/xitai", s3_endpoint=faulty.url))
    assert isinstance(storage, S3Storage)
    return storage


@pytest.fixture
def s3(faulty: FaultyS3, bucket: S3Client, opened: S3Storage) -> Iterator[S3Storage]:
    yield opened
    faulty.fault = lambda _: None
    _empty_bucket(bucket)


def _empty_bucket(client: S3Client) -> None:
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def _open_uploads(client: S3Client) -> int:
    return len(client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


@pytest.fixture
def folder(tmp_path: Path) -> FolderStorage:
    storage = open_storage(Settings(storage_url=(tmp_path / "media").as_uri()))
    assert isinstance(storage, FolderStorage)
    return storage


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    found: Storage = request.getfixturevalue(request.param)
    return found


def _pattern(size: int, seed: int = 0) -> bytes:
    return bytes((i * 7 + seed) % 251 for i in range(997)) * (size // 997 + 1)


# -- the contract


def test_put_get_replace_size(storage: Storage) -> None:
    assert storage.size("live/tok/v720/00000001.m4s") is None
    storage.put_bytes("live/tok/v720/00000001.m4s", b"first")
    storage.put_bytes("live/tok/v720/00000001.m4s", b"second one")
    assert storage.get("live/tok/v720/00000001.m4s") == b"second one"
    assert storage.size("live/tok/v720/00000001.m4s") == 10
    storage.put_bytes("empty.bin", b"")
    assert storage.get("empty.bin") == b""
    assert storage.size("empty.bin") == 0


def test_missing_objects(storage: Storage, tmp_path: Path) -> None:
    for act in (
        lambda: storage.get("no/such"),
        lambda: storage.open_range("no/such", 0, 5),
        lambda: storage.open_range("no/such", 3, 3),
        lambda: storage.fetch("no/such", tmp_path / "out"),
        lambda: storage.concat("joined", ["no/such"]),
    ):
        with pytest.raises(NotFound):
            act()
    assert storage.size("joined") is None
    storage.delete("no/such")
    assert storage.delete_prefix("no/") == 0
    assert list(storage.list("no/")) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 4, b"0123"), (3, 7, b"3456"), (8, 100, b"89"), (10, 20, b""), (4, 4, b"")],
)
def test_ranges(storage: Storage, start: int, end: int, expected: bytes) -> None:
    storage.put_bytes("ten", b"0123456789")
    assert storage.open_range("ten", start, end) == expected


def test_ranges_outside(storage: Storage) -> None:
    storage.put_bytes("ten", b"0123456789")
    with pytest.raises(NotFound):
        storage.open_range("ten", 11, 20)
    for start, end in ((-1, 3), (5, 4)):
        with pytest.raises(ValueError, match="range"):
            storage.open_range("ten", start, end)


def test_conditional_create(storage: Storage, tmp_path: Path) -> None:
    storage.put_bytes("once", b"a", if_absent=True)
    with pytest.raises(AlreadyThere):
        storage.put_bytes("once", b"b", if_absent=True)
    source = tmp_path / "source"
    source.write_bytes(b"c")
    with pytest.raises(AlreadyThere):
        storage.put_file("once", source, if_absent=True)
    assert storage.get("once") == b"a"
    assert list(storage.list("")) == ["once"]


def test_conditional_create_has_one_winner(storage: Storage) -> None:
    def attempt(number: int) -> bool:
        try:
            storage.put_bytes("race/once", b"%d" % number, if_absent=True)
        except AlreadyThere:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(attempt, range(16)))
    assert sum(wins) == 1
    assert storage.get("race/once") == b"%d" % wins.index(True)


@pytest.mark.parametrize("size", [0, 100, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE + 12345])
def test_put_file_and_fetch(storage: Storage, tmp_path: Path, size: int) -> None:
    source = tmp_path / "take.flv"
    source.write_bytes(_pattern(size)[:size])
    assert storage.put_file("takes/t1.flv", source) == size
    assert storage.size("takes/t1.flv") == size
    assert storage.fetch("takes/t1.flv", tmp_path / "back.flv") == size
    assert (tmp_path / "back.flv").read_bytes() == source.read_bytes()


def test_put_file_without_a_file(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.put_file("takes/t1.flv", tmp_path / "none")
    assert storage.size("takes/t1.flv") is None


_MIB = 1 << 20


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [700, 1_300_000, 1_200_000, 900_000],
        [1000, 6 * _MIB, 7 * _MIB, 10, 5 * _MIB],
        [PART_MIN, PART_MIN, PART_MIN - 1],
        [*([2 * _MIB + 1] * 9), 100],
        [4 * _MIB, 6 * _MIB, 20 * _MIB],
    ],
    ids=["none", "empty", "small", "mixed", "copied", "gathered", "topped-up"],
)
def test_concat(storage: Storage, sizes: list[int]) -> None:
    datas = [_pattern(size, seed)[:size] for seed, size in enumerate(sizes)]
    keys = [f"live/tok/v720/{number:08d}.m4s" for number in range(len(sizes))]
    for key, data in zip(keys, datas, strict=True):
        storage.put_bytes(key, data)
    told: list[int] = []
    assert storage.concat("live/tok/v720/replay1.mp4", keys, progress=told.append) == sizes
    assert storage.get("live/tok/v720/replay1.mp4") == b"".join(datas)
    assert storage.concat("live/tok/v720/replay2.mp4", keys, between=b"free") == sizes
    assert storage.get("live/tok/v720/replay2.mp4") == b"free".join(datas)
    assert told == [sum(sizes[: n + 1]) for n in range(len(sizes))]
    assert [storage.size(key) for key in keys] == sizes


def test_concat_stopped_leaves_nothing(storage: Storage, bucket: S3Client) -> None:
    for number in range(3):
        storage.put_bytes(f"s/{number}", _pattern(6 * _MIB))

    class Stop(Exception):
        pass

    def progress(done: int) -> None:
        if done > 6 * _MIB:
            raise Stop

    with pytest.raises(Stop):
        storage.concat("joined", ["s/0", "s/1", "s/2"], progress=progress)
    assert storage.size("joined") is None
    assert storage.sweep(-1) == 0
    if isinstance(storage, S3Storage):
        assert _open_uploads(bucket) == 0


def test_list_and_delete_prefix(storage: Storage) -> None:
    keys = ["a-b", "a/b/c", "a/b-c", "a/b.c", "a/B", "b/x", "ab/x", "_t/-x"]
    for key in keys:
        storage.put_bytes(key, key.encode())
    assert list(storage.list("")) == sorted(keys)
    assert list(storage.list("a/")) == ["a/B", "a/b-c", "a/b.c", "a/b/c"]
    assert storage.delete_prefix("a/") == 4
    assert list(storage.list("")) == ["_t/-x", "a-b", "ab/x", "b/x"]
    storage.delete("ab/x")
    assert list(storage.list("ab/")) == []
    storage.put_bytes("a/b/c", b"again")
    assert storage.get("a/b/c") == b"again"


BAD_KEYS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.x.tmp",
    "a\x00b",
    "a\\b",
    "a b",
    "%2e%2e/x",
    "a\n",
    "戏",
    "x" * 129,
    "/".join(["x" * 100] * 6),
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys(storage: Storage, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for act in (
        lambda: storage.put_bytes(key, b"x"),
        lambda: storage.put_file(key, source),
        lambda: storage.concat(key, []),
        lambda: storage.concat("ok", [key]),
        lambda: storage.get(key),
        lambda: storage.open_range(key, 0, 1),
        lambda: storage.fetch(key, tmp_path / "out"),
        lambda: storage.size(key),
        lambda: storage.delete(key),
        lambda: storage.local_path(key),
        lambda: storage.presign(key, 60),
    ):
        with pytest.raises(InvalidKey):
            act()


@pytest.mark.parametrize("prefix", ["/", "a", "../", "a/../", ".hidden/", "a//", "a\n/"])
def test_bad_prefixes(storage: Storage, prefix: str) -> None:
    with pytest.raises(InvalidKey):
        storage.delete_prefix(prefix)
    with pytest.raises(InvalidKey):
        list(storage.list(prefix))


def test_deleting_everything_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidKey):
        storage.delete_prefix("")


def test_many_threads(storage: Storage) -> None:
    def work(number: int) -> None:
        key = f"live/tok/r{number % 3}/{number:08d}.m4s"
        storage.put_bytes(key, b"%d" % number)
        assert storage.get(key) == b"%d" % number
        if number % 5 == 0:
            storage.delete_prefix(f"live/gone{number % 2}/")
        storage.put_bytes(f"live/gone{number % 2}/deep/x", b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert len(list(storage.list("live/tok/"))) == 60


# -- the folder


def test_folder_paths(folder: FolderStorage) -> None:
    folder.put_bytes("live/tok/init1.mp4", b"init")
    path = folder.local_path("live/tok/init1.mp4")
    assert path is not None
    assert path.read_bytes() == b"init"
    assert folder.presign("live/tok/init1.mp4", 60) is None


def test_folder_key_through_a_file(folder: FolderStorage) -> None:
    folder.put_bytes("a", b"file")
    with pytest.raises(StorageError):
        folder.put_bytes("a/b", b"x")
    assert folder.size("a/b") is None


def test_full_disk_then_room_again(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a size-capped tmpfs needs root")
    try:
        storage = FolderStorage(mount / "media")
        storage.put_bytes("one", b"1" * _MIB)
        big = tmp_path / "big"
        big.write_bytes(b"2" * 3 * _MIB)
        for act in (
            lambda: storage.put_bytes("two", b"2" * 2 * _MIB),
            lambda: storage.put_file("two", big),
            lambda: storage.concat("two", ["one", "one"]),
        ):
            with pytest.raises(StorageFull):
                act()
        assert list(storage.list("")) == ["one"]
        assert storage.sweep(-1) == 0
        storage.delete("one")
        storage.put_bytes("two", b"2" * _MIB)
        assert storage.size("two") == _MIB
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "write", "rename"])
def test_failed_call_is_not_retried(
    folder: FolderStorage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    folder.put_bytes("live/old", b"old")
    calls = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError):
        folder.put_bytes("live/old", b"new")
    monkeypatch.undo()
    assert calls == 1
    assert folder.get("live/old") == (b"new" if call == "fsync" else b"old")
    assert folder.sweep(-1) == 0


_WRITER = """
import sys
from pathlib import Path
from infra.storage.folder import FolderStorage
storage = FolderStorage(Path(sys.argv[1]))
print("go", flush=True)
while True:
    for number in range(4):
        storage.put_bytes(f"live/{number}", bytes([number]) * 4_000_000)
"""


def test_killed_writer_leaves_whole_objects(folder: FolderStorage) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder.root)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.12)
        writer.send_signal(signal.SIGKILL)
    for key in folder.list(""):
        number = int(key[-1])
        assert folder.get(key) == bytes([number]) * 4_000_000
    folder.sweep(-1)
    assert [p for p in folder.root.rglob(".*") if p.is_file()] == []


def test_sweep_spares_work_in_progress(folder: FolderStorage) -> None:
    folder.put_bytes("live/a", b"a")
    temp = folder.root / "live" / ".b.abc.tmp"
    temp.write_bytes(b"half")
    assert folder.sweep(3600) == 0
    assert list(folder.list("live/")) == ["live/a"]
    assert folder.sweep(-1) == 1


def test_segment_puts_are_quick(folder: FolderStorage) -> None:
    """Three rungs of a broadcast put 1.5 segments a second: this must leave room for many."""
    data = _pattern(1_250_000)[:1_250_000]
    started = time.monotonic()
    for number in range(20):
        folder.put_bytes(f"live/tok/v720/{number:08d}.m4s", data)
    assert (time.monotonic() - started) / 20 < 0.25


# -- S3


def _on_put(environ: dict[str, Any]) -> bool:
    return bool(environ["REQUEST_METHOD"] == "PUT")


class Times:
    """A fault that happens to the first ``count`` requests that match."""

    def __init__(self, fault: str, count: int, match: Fault | Callable[..., bool]) -> None:
        self.left = count
        self.hits = 0
        self._fault = fault
        self._match = match
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any]) -> str | None:
        with self._lock:
            if not self.left or not self._match(environ):
                return None
            self.left -= 1
            self.hits += 1
            return self._fault


@pytest.mark.parametrize("fault", ["500", "slow"])
def test_s3_passing_trouble_is_ridden_out(faulty: FaultyS3, s3: S3Storage, fault: str) -> None:
    faulty.fault = Times(fault, 2, _on_put)
    s3.put_bytes("live/a", b"abc")
    faulty.fault = lambda _: None
    assert s3.get("live/a") == b"abc"


def test_s3_answer_cut_off_is_read_again(faulty: FaultyS3, s3: S3Storage) -> None:
    s3.put_bytes("live/a", b"x" * 5000)
    faulty.fault = Times("cut", 1, lambda environ: environ["REQUEST_METHOD"] == "GET")
    assert s3.open_range("live/a", 10, 4010) == b"x" * 4000
    faulty.fault = Times("cut", 2, lambda environ: environ["REQUEST_METHOD"] == "GET")
    with pytest.raises(StorageError):
        s3.get("live/a")


def test_s3_lasting_trouble_is_told_and_leaves_no_parts(
    faulty: FaultyS3, s3: S3Storage, bucket: S3Client, tmp_path: Path
) -> None:
    source = tmp_path / "take.flv"
    source.write_bytes(_pattern(2 * PART_SIZE)[: 2 * PART_SIZE + 5])
    second_part = Times("500", 99, lambda e: _on_put(e) and "partNumber=2" in e["QUERY_STRING"])
    faulty.fault = second_part
    with pytest.raises(StorageError, match="takes/t1"):
        s3.put_file("takes/t1.flv", source)
    faulty.fault = lambda _: None
    assert second_part.hits == s3_module.ATTEMPTS
    assert s3.size("takes/t1.flv") is None
    assert _open_uploads(bucket) == 0


def test_s3_sweeps_uploads_of_killed_processes(s3: S3Storage, bucket: S3Client) -> None:
    bucket.create_multipart_upload(Bucket=BUCKET, Key="xitai/takes/lost.flv")
    bucket.create_multipart_upload(Bucket=BUCKET, Key="elsewhere/not-ours.flv")
    # moto dates every upload 2010.
    assert s3.sweep(100 * 365 * 86_400) == 0
    assert s3.sweep(3600) == 1
    assert _open_uploads(bucket) == 1


def test_s3_away(faulty: FaultyS3, bucket: S3Client) -> None:
    away = S3Storage(BUCKET, endpoint="http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(StorageError, match="cannot be reached"):
        away.get("live/a")
    assert time.monotonic() - started < 60
    with pytest.raises(StorageError, match="NoSuchBucket"):
        S3Storage("nothing-here", endpoint=faulty.url).put_bytes("a", b"a")


def test_s3_vendor_without_conditional_writes(faulty: FaultyS3, s3: S3Storage) -> None:
    faulty.fault = lambda _: "plain"
    s3 = S3Storage(BUCKET, "xitai", endpoint=faulty.url)
    s3.put_bytes("once", b"a", if_absent=True)
    with pytest.raises(AlreadyThere):
        s3.put_bytes("once", b"b", if_absent=True)
    assert s3.get("once") == b"a"
    assert list(s3.list("")) == ["once"]


def test_s3_presigned_url_reads(s3: S3Storage) -> None:
    s3.put_bytes("live/a.m4s", b"media")
    url = s3.presign("live/a.m4s", 60)
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"media"
        assert answer.headers["Content-Type"] == "video/iso.segment"
    assert s3.local_path("live/a.m4s") is None


def test_s3_presigned_url_names_the_public_endpoint() -> None:
    settings = Settings(
        storage_url=f"s3://{BUCKET}/xitai",
        s3_endpoint="http://127.0.0.1:9",
        s3_public_endpoint="https://media.example.cn",
    )
    url = open_storage(settings).presign("live/a.m4s", 60)
    assert url is not None
    assert url.startswith(f"https://media.example.cn/{BUCKET}/xitai/live/a.m4s?")


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "file://host/x"])
def test_unusable_storage_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"storage URL|XITAI_STORAGE_URL"):
        open_storage(Settings(storage_url=url))
