"""Addresses, the instance file, the lock, the internal secret."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import psutil
import pytest

from infra.embedded.folders import SetupError, private_folder
from infra.instance import (
    Instance,
    InstanceLock,
    InstanceRunning,
    forget_instance,
    http_url,
    internal_token,
    load_instance,
    rtmp_url,
    split_address,
    write_instance,
)
from infra.settings import Settings


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:1935", "0.0.0.0", 1935),
        ("[::1]:80", "::1", 80),
        ("8080", "127.0.0.1", 8080),
        (":0", "127.0.0.1", 0),
    ],
)
def test_addresses_are_split(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["host:", "host:http", "h:70000", "h:-1"])
def test_wrong_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        split_address(address)


def test_urls_are_those_that_can_be_reached() -> None:
    settings = Settings(http="0.0.0.0:8080", rtmp="[::]:1935")
    assert http_url(settings) == "http://127.0.0.1:8080"
    assert rtmp_url(settings) == "rtmp://127.0.0.1:1935/live"
    assert http_url(Settings(public_url="https://live.example.cn/")) == "https://live.example.cn"


def an_instance(pid: int, started: float) -> Instance:
    return Instance("http://h", "rtmp://h/live", "http://i", pid, started, {"web": 5}, 1.0)


def test_the_instance_file_counts_while_its_supervisor_lives(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    assert load_instance(settings) is None
    own = psutil.Process()
    instance = an_instance(own.pid, own.create_time())
    write_instance(settings, instance)
    assert load_instance(settings) == instance
    write_instance(settings, an_instance(own.pid, own.create_time() - 100))
    assert load_instance(settings) is None, "the pid has gone to somebody else"
    write_instance(settings, an_instance(2**22 + 1, 0.0))
    assert load_instance(settings) is None
    forget_instance(settings)
    forget_instance(settings)


def test_one_holder_of_the_lock(tmp_path: Path) -> None:
    first, second = InstanceLock(tmp_path), InstanceLock(tmp_path)
    first.acquire()
    with pytest.raises(InstanceRunning, match="already runs"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_internal_secret_is_made_once(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(internal_token(settings))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) >= 32
    path = tmp_path / "secret" / "internal_token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["internal_token"]
    given = Settings(data=tmp_path, internal_token="given")  # type: ignore[arg-type]
    assert internal_token(given) == "given"


def test_a_private_folder_is_ours_alone(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    assert stat.S_IMODE(private_folder(open_to_all).stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(open_to_all)
    with pytest.raises(SetupError, match="somebody else"):
        private_folder(tmp_path / "link")
