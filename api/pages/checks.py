"""The 开播检查 light: feed health in, one colour and its reasons in plain words out. Pure.

Each reason says what is seen and what to do about it; the numbers behind it stay in the fold.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.pages.view import AirState, FeedHealth, Level
from api.pages.words import Translate, lasting, rate, size

_MIN_VIDEO_BPS = 600_000
_MIN_FPS = 14.0
_LONG_KEY_INTERVAL_MS = 4_500
_LATE_WARN_MS, _LATE_BAD_MS = 2_000, 8_000
_LAG_WARN_MS, _LAG_BAD_MS = 4_000, 15_000
_DISK_WARN, _DISK_BAD = 20 * 10**9, 5 * 10**9
_WAITING = frozenset({"waiting_storage", "waiting_database", "waiting_disk"})
"""What the live job cannot write to now; it falls behind then, with no fault of the machine's."""


@dataclass(frozen=True)
class Reason:
    level: Level
    text: str
    advice: str | None = None


@dataclass(frozen=True)
class Light:
    level: Level
    title: str
    reasons: tuple[Reason, ...]


_ORDER: dict[Level, int] = {"idle": 0, "good": 1, "warn": 2, "bad": 3}


def light(health: FeedHealth, state: AirState, _: Translate) -> Light:
    """Worst reason first; the light is as bad as its worst reason."""
    if state == "ended":
        return Light("idle", _("直播已结束"), ())
    reasons = [*_disk(health, _)]
    if health.connected:
        reasons += [
            *_picture(health, _),
            *_sound(health, _),
            *_line(health, _),
            *_machine(health, _),
        ]
    said = {reason.text for reason in reasons}
    told = (_known(code, _) for code in health.codes if not _measured(code, health))
    reasons += [reason for reason in told if reason.text not in said]
    reasons.sort(key=lambda reason: -_ORDER[reason.level])
    if not health.connected:
        return _away(state, reasons, _)
    worst = reasons[0].level if reasons else "good"
    titles: dict[Level, str] = {
        "good": _("一切正常") if state == "live" else _("信号正常，可以开播"),
        "warn": _("可以播，有几处可以更好"),
        "bad": _("有问题，请先处理"),
    }
    return Light(worst, titles[worst], tuple(reasons))


def _away(state: AirState, reasons: list[Reason], _: Translate) -> Light:
    if state in ("live", "interrupted"):
        lost = Reason(
            "bad",
            _("收不到现场信号。"),
            _(
                "已录下的内容都在，观众看到的是“稍候”画面。请检查现场网络，编码器用原来的推流码重新连接即可接着播。"
            ),
        )
        return Light("bad", _("信号中断"), (lost, *reasons))
    return Light("idle", _("等待信号"), tuple(reasons))


def _picture(h: FeedHealth, _: Translate) -> list[Reason]:
    if h.video_codec is None:
        return [
            Reason(
                "bad",
                _("只有声音，没有画面。"),
                _("请检查摄像机与编码器之间的连线，或编码器里选的视频源。"),
            )
        ]
    found = []
    if h.fps and h.fps < _MIN_FPS:
        found.append(
            Reason(
                "warn",
                _("画面不连贯（每秒 {fps} 帧）。").format(fps=round(h.fps)),
                _("把编码器的帧率设为 25。"),
            )
        )
    if 0 < h.bitrate_bps < _MIN_VIDEO_BPS:
        found.append(
            Reason(
                "warn",
                _("画质偏低（{rate}）。").format(rate=rate(h.bitrate_bps)),
                _("网络允许的话，把码率调到 2500 kb/s 左右。"),
            )
        )
    if h.key_interval_ms > _LONG_KEY_INTERVAL_MS:
        found.append(
            Reason(
                "warn",
                _("关键帧间隔太长（{n} 秒）。").format(n=round(h.key_interval_ms / 1000)),
                _("在编码器里把“关键帧间隔”设为 2 秒，服务器的负担能减一半。不改也能正常播。"),
            )
        )
    return found


def _sound(h: FeedHealth, _: Translate) -> list[Reason]:
    if h.audio_codec is not None:
        return []
    return [
        Reason("bad", _("没有声音。"), _("请检查调音台到编码器的音频线，以及编码器里的声音输入。"))
    ]


def _line(h: FeedHealth, _: Translate) -> list[Reason]:
    if h.late_ms >= _LATE_BAD_MS:
        return [
            Reason(
                "bad",
                _("现场网络太慢，画面晚到了 {time}。").format(time=lasting(h.late_ms, _)),
                _("请把编码器码率调低一半，或换一个网络。已经发出的内容不会丢。"),
            )
        ]
    if h.late_ms >= _LATE_WARN_MS:
        return [
            Reason(
                "warn",
                _("现场网络有点吃力，画面晚到了 {time}。").format(time=lasting(h.late_ms, _)),
                _("上行网速最好是码率的 1.5 倍以上，可以把码率调低一些。"),
            )
        ]
    return []


def _machine(h: FeedHealth, _: Translate) -> list[Reason]:
    if h.lag_ms is None or h.lag_ms < _LAG_WARN_MS or not _WAITING.isdisjoint(h.codes):
        return []
    level: Level = "bad" if h.lag_ms >= _LAG_BAD_MS else "warn"
    return [
        Reason(
            level,
            _("服务器忙，观众看到的画面晚了 {time}。").format(time=lasting(h.lag_ms, _)),
            _("录制不受影响，系统会自动追上；请先不要在这台机器上做别的事。"),
        )
    ]


def _disk(h: FeedHealth, _: Translate) -> list[Reason]:
    free = h.disk_free_bytes
    if free is None or free >= _DISK_WARN:
        return []
    if free >= _DISK_BAD:
        return [
            Reason(
                "warn",
                _("磁盘空间不多了，还剩 {size}。").format(size=size(free)),
                _("演出后请清理旧录像或换一块大硬盘。"),
            )
        ]
    return [
        Reason(
            "bad",
            _("磁盘快满了，只剩 {size}。").format(size=size(free)),
            _("现场录制会坚持到最后，回看可能暂停生成。请马上腾出空间。"),
        )
    ]


def _measured(code: str, h: FeedHealth) -> bool:
    """Whether the numbers already say what this code says, and say it better."""
    by_number = {
        "disk_low": h.disk_free_bytes is not None and h.disk_free_bytes < _DISK_WARN,
        "uplink_late": h.late_ms >= _LATE_WARN_MS,
        "keyframe_interval_long": h.key_interval_ms > _LONG_KEY_INTERVAL_MS,
        "no_audio": h.audio_codec is None,
        "no_video": h.video_codec is None,
    }
    return by_number.get(code, False)


def _long_interval(_: Translate) -> Reason:
    return Reason(
        "warn",
        _("关键帧间隔太长。"),
        _("在编码器里把“关键帧间隔”设为 2 秒，服务器的负担能减一半。不改也能正常播。"),
    )


def _known(code: str, _: Translate) -> Reason:
    """The words of a code from ingest or the live job."""
    words: dict[str, Reason] = {
        "keyframe_interval_long": _long_interval(_),
        "waiting_keyframe": Reason(
            "warn",
            _("连上了，还在等第一幅完整画面。"),
            _("一般十秒内会好；一直等不到，请重启编码器。"),
        ),
        "bitrate_unstable": Reason(
            "warn", _("现场网络忽快忽慢。"), _("把编码器码率调低一些，或换更稳的网络。")
        ),
        "no_audio": Reason(
            "warn", _("已经好几秒没有声音了。"), _("请检查调音台和编码器的声音输入。")
        ),
        "no_video": Reason(
            "warn", _("已经好几秒没有新画面了。"), _("请检查摄像机和编码器的视频输入。")
        ),
        "dropped_frames": Reason(
            "warn",
            _("编码器丢过帧。"),
            _("多半是电脑或手机太忙：关掉别的程序，或把画面降到 720p。"),
        ),
        "headers_flapping": Reason(
            "warn", _("编码器一直在改画面设置。"), _("直播中请不要切换分辨率；必要时重启编码器。")
        ),
        "uplink_late": Reason(
            "warn", _("现场网络有点吃力。"), _("把编码器码率调低一些。已经发出的内容不会丢。")
        ),
        "disk_low": Reason("warn", _("磁盘空间不多了。"), _("演出后请清理旧录像。")),
        "disk_full": Reason(
            "bad",
            _("磁盘写满了，现在录不下来。"),
            _("之前录下的都在。请马上腾出空间，腾出后会自动接着录。"),
        ),
        "disk_error": Reason(
            "bad",
            _("磁盘出错，现在录不下来。"),
            _("之前录下的都在，系统会一直重试。请马上通知管理员检查硬盘。"),
        ),
        "disk_log_only": Reason(
            "bad", _("磁盘紧张，已暂停生成回看。"), _("现场录制没有停。腾出空间后会自动补上。")
        ),
        "waiting_storage": Reason(
            "bad",
            _("存储暂时写不进去，观众画面会停住；录制不受影响。"),
            _("系统一直在重试，恢复后自动接着播。请通知管理员检查存储。"),
        ),
        "waiting_database": Reason(
            "bad",
            _("数据库暂时连不上，观众画面会停住；录制不受影响。"),
            _("系统一直在重试，恢复后自动接着播。请通知管理员检查数据库。"),
        ),
        "waiting_disk": Reason(
            "bad",
            _("磁盘快满了，观众画面会停住；录制还在继续。"),
            _("请马上腾出空间，腾出后会自动接着播。"),
        ),
        "rung_dropped": Reason(
            "warn", _("服务器忙，暂时少提供了一档清晰度。"), _("观众仍能正常收看。")
        ),
        "codec_not_h264": Reason(
            "warn",
            _("编码器用的是新格式，服务器要多费力气转换。"),
            _("在编码器里把视频编码改成 H.264。"),
        ),
        "profile_too_high": Reason(
            "warn",
            _("画面格式太高，手机放不了原画，服务器要多费力气转换。"),
            _("在编码器里把 H.264 的配置（Profile）改成 main 或 high。"),
        ),
        "interlaced": Reason(
            "warn", _("摄像机送的是隔行画面。"), _("把摄像机或编码器改成逐行（如 1080p25）。")
        ),
        "open_gop": Reason(
            "warn",
            _("编码器的关键帧不能直接起播，服务器要多费力气转换。"),
            _("在编码器里关掉“开放式 GOP”（Open GOP）。"),
        ),
        "bitrate_high": Reason(
            "warn", _("码率太高，手机看着吃力。"), _("把编码器码率调到 2500～4000 kb/s。")
        ),
    }
    return words.get(code, Reason("warn", _("系统提醒：{code}").format(code=code)))
