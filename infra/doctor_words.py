"""The doctor's sentences, Chinese and English side by side: it speaks before anything is set up."""

from __future__ import annotations

from typing import Final

GIB: Final = 2**30

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "running": ("戏台正在运行，数据文件夹：{data}", "Xitai runs on {data}"),
    "machine": (
        "处理器 {cores} 核，内存 {memory} GB",
        "{cores} processor cores, {memory} GB of memory",
    ),
    "machine.little": (
        "内存偏少：建议至少 4 GB，否则直播时可能卡顿。",
        "That is little memory: 4 GB or more keeps a live broadcast smooth.",
    ),
    "disk": (
        "磁盘剩余 {free} GB，约可录 {hours} 小时（1080p，含回放）",
        "{free} GB of disk left: about {hours} hours of 1080p with its replay",
    ),
    "disk.full": (
        "请清理磁盘，或用 --data 换到更大的磁盘。",
        "Free some space, or name a folder on a larger disk with --data.",
    ),
    "disk.readonly": ("不能写入数据文件夹 {data}", "The data folder {data} cannot be written to"),
    "disk.readonly.advice": (
        "请换一个文件夹（--data），或修改文件夹权限。",
        "Name another folder with --data, or change who may write there.",
    ),
    "port": ("端口 {address} 可用", "Port {address} is free"),
    "port.taken": ("端口 {address} 不能用：{reason}", "Port {address} cannot be used: {reason}"),
    "port.taken.advice": (
        "请关掉占用它的程序，或用 {flag} 换一个端口。",
        "Stop the program that has it, or name another one with {flag}.",
    ),
    "port.wrong": ("地址写法不对：{address}", "This is no address: {address}"),
    "port.wrong.advice": (
        "应写成 主机:端口，例如 {flag} 0.0.0.0:8080。",
        "Write HOST:PORT, for example {flag} 0.0.0.0:8080.",
    ),
    "embedded": ("自带的 {name} 可用", "The embedded {name} is there"),
    "embedded.missing": ("缺少自带的 {name}", "The embedded {name} is missing"),
    "server": ("{name} 有应答", "{name} answers"),
    "server.away": ("连不上 {name}", "{name} does not answer"),
    "server.away.advice": (
        "请检查 {variable} 里的地址、服务器是否启动、防火墙是否放行。",
        "Check the address in {variable}, whether the server runs, and the firewall.",
    ),
    "storage": ("对象存储可读可写", "The object storage reads and writes"),
    "storage.rewrites": (
        "对象存储不支持条件写入（If-None-Match）",
        "The object storage knows no conditional writes (If-None-Match)",
    ),
    "storage.rewrites.advice": (
        "可以使用，但请勿让两套系统共用同一个桶。",
        "It can be used, but not by two installations with one bucket.",
    ),
    "storage.away": ("对象存储不能用", "The object storage cannot be used"),
    "storage.away.advice": (
        "请检查 XITAI_STORAGE_URL、密钥和网络：{reason}",
        "Check XITAI_STORAGE_URL, the credentials and the network: {reason}",
    ),
    "ffmpeg": ("FFmpeg {version} 可用", "FFmpeg {version} is there"),
    "ffmpeg.missing": ("FFmpeg 不能运行", "FFmpeg does not run"),
    "ffmpeg.lacks": ("FFmpeg 缺少：{what}", "FFmpeg lacks: {what}"),
    "ffmpeg.lacks.advice": (
        "请去掉 XITAI_FFMPEG，改用自带的 FFmpeg。",
        "Remove XITAI_FFMPEG to use the one that comes with Xitai.",
    ),
    "ffmpeg.old": (
        "版本较旧：建议去掉 XITAI_FFMPEG，改用自带的 FFmpeg。",
        "That is an old one: remove XITAI_FFMPEG to use the one that comes with Xitai.",
    ),
    "sandbox": (
        "处理上传文件的程序已隔离：不能上网，只看得到自己的文件",
        "Programs that touch uploads are confined: no network, only their own files",
    ),
    "sandbox.network": (
        "处理上传文件的程序没能与网络隔离",
        "Programs that touch uploads could not be cut off from the network",
    ),
    "sandbox.network.advice": (
        "请允许 seccomp 或用户命名空间（容器里常被禁用）。",
        "Allow seccomp or user namespaces, which containers often forbid.",
    ),
    "sandbox.files": (
        "处理上传文件的程序能读到本机的其他文件",
        "Programs that touch uploads can read other files of this machine",
    ),
    "sandbox.files.advice": (
        "请用 Linux 5.13 以上的内核（启用 Landlock），或安装 bubblewrap。",
        "Use Linux 5.13 or later with Landlock, or install bubblewrap.",
    ),
    "speed": (
        "实测转码速度：1080p→720p 为实时的 {one} 倍，720p+480p 为 {two} 倍",
        "Measured: 1080p→720p at {one}× real time, 720p+480p at {two}×",
    ),
    "speed.two": (
        "可同时直播约 {shows} 场（原画直通，另转 720p 和 480p）。",
        "Broadcasts it can hold at once: about {shows} (original passed on, 720p and 480p made).",
    ),
    "speed.one": (
        "每场只宜转一个清晰度：请设 XITAI_RUNGS=v720,a。",
        "Make only one rung besides the original: XITAI_RUNGS=v720,a.",
    ),
    "speed.slow": (
        "实测转码速度只有实时的 {one} 倍，跟不上 1080p 直播",
        "Measured: 1080p→720p at {one}× real time, which does not keep up with a live show",
    ),
    "speed.slow.advice": (
        "请让编码器直接推 720p（关键帧间隔 2 秒），观众看原画；或换更快的机器。",
        "Push 720p with a key frame every 2 s, passed on as it is; or use a faster machine.",
    ),
}


def say(key: str, lang: str, **values: object) -> str:
    """The sentence ``key`` in ``lang`` ("zh…", else English) with ``values`` filled in."""
    chinese, english = _WORDS[key]
    return (chinese if lang.startswith("zh") else english).format(**values)
