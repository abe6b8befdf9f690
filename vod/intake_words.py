"""Why a file that came in is not taken: one plain sentence a code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[dict[str, str]] = {
    "upload_size": "收到的长度和说好的不一样，请重新传一次。",
    "upload_changed": "收到的内容和您电脑上的文件不一样，可能文件在传的时候改过。请重新传一次。",
    "upload_duplicate": "这个文件以前传过，就是“{title}”，没有重复收下。",
    "upload_format": "认不出这是什么录像。请用 MP4、MOV、MKV、TS、AVI、MXF 等常见格式。",
    "upload_broken": "这个文件打不开，可能没有拷贝完整或者已损坏。请重新导出后再传。",
    "upload_codec": "录像用的编码（{codec}）收不了。请用 H.264、HEVC 等常见编码重新导出。",
    "upload_no_picture": "文件里没有画面。只有声音的，请在资源库里登记为音频。",
    "upload_pixels": "画面太大，最多 {most} 百万像素。请缩小后再传。",
    "upload_streams": "文件里的音轨、字幕等太多，最多 {most} 条。请只留需要的再导出。",
    "upload_attachments": "文件里夹带了字幕字体等附件，收不了。请去掉附件后再导出。",
    "upload_long": "录像有 {hours} 小时长，一个文件最多 {most} 小时。请分成几个文件再传。",
    "upload_bomb": "这个文件展开以后太大，收不了。",
    "upload_undecodable": "画面解不出来，可能没有拷贝完整或者已损坏。请重新导出后再传。",
    "upload_picture_type": "认不出这是什么图片。请用 JPG、PNG 或 WebP。",
    "upload_picture_broken": "这张图片打不开，可能没有拷贝完整或者已损坏。请重新导出后再传。",
    "upload_picture_moves": "这是一张会动的图片，收不了。请另存为普通图片。",
    "upload_hung": "检查这个文件时卡住了。",
    "upload_file_missing": "还没有在服务器上找到传来的文件。",
    "upload_left": "检查没有做完，可能服务器重启过，或者任务被取消了。可以再检查一次。",
}


def sentence(code: str, facts: Mapping[str, object] | None = None) -> str:
    """The sentence of a code, filled in."""
    text = SENTENCES.get(code, "这个文件没有收下。")
    try:
        return text.format(**(facts or {}))
    except KeyError:
        return text
