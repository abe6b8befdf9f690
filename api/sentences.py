"""Every refusal in one plain sentence, by its stable code; the sentences are gettext ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    status: int
    text: str


SENTENCES: Final[dict[str, Entry]] = {
    # asking
    "bad_request": Entry(400, "请求不对，请检查后再试。"),
    "bad_input": Entry(422, "有几项填得不对，请按提示修改后再试。"),
    "sign_in_needed": Entry(401, "请先登录，或在请求中带上有效的令牌。"),
    "not_allowed": Entry(403, "您的账号没有这个权限，需要时请找管理员开通。"),
    "foreign_post": Entry(403, "这个请求不是从本站页面发出的，已拒绝。"),
    "not_found": Entry(404, "没有找到，请检查地址或编号。"),
    "method_unknown": Entry(405, "这个地址不支持这种请求方式。"),
    "too_large": Entry(413, "发送的内容太大了，最多 {most} 字节。"),
    "slow_down": Entry(429, "试的次数太多了，请等 {seconds} 秒再试。"),
    "internal": Entry(500, "服务器出了问题，已记录下来。已录下的内容都在，请稍后再试。"),
    "busy": Entry(503, "服务器正忙，请稍后再试。"),
    "database_away": Entry(503, "数据库暂时连不上，正在自动恢复，请几秒后再试。"),
    # broadcasts, clips, jobs
    "broadcast_not_found": Entry(404, "没有找到这场直播，请检查编号。"),
    "clip_not_found": Entry(404, "没有找到这段微视频，请检查编号。"),
    "clip_range": Entry(422, "结束时间要晚于开始时间，并且都在录像之内。"),
    "clip_failed": Entry(500, "微视频没有做成：{reason}"),
    "job_not_found": Entry(404, "没有找到这项任务，请检查编号。"),
    "job_not_open": Entry(409, "这项任务已经结束，不能取消。"),
    "job_not_over": Entry(409, "这项任务还没有失败或取消，不用重试。"),
    "job_live": Entry(409, "直播转码不能单独取消，请结束直播。"),
    # plays
    "beacon_batch": Entry(422, "一次最多上报 {most} 条播放记录，这次有 {sent} 条。"),
    "beacon_field": Entry(422, "播放记录里的 {field} 不对。"),
    # accounts and centres
    "login_form": Entry(422, "用户名只能用文字、数字和 . _ - @，长度 {least} 到 {most} 位。"),
    "login_taken": Entry(409, "用户名 {login} 已经有人用了，请换一个。"),
    "password_length": Entry(422, "密码要有 {least} 到 {most} 位。"),
    "password_plain": Entry(422, "密码太简单，请换一个。"),
    "role_unknown": Entry(422, "没有这种角色；可用的角色：{roles}。"),
    "token_days": Entry(422, "令牌的有效期是 1 到 {most} 天。"),
    "token_admin_centre": Entry(
        422, "管理员令牌管得到所有文化馆，不能限定在一个馆；请去掉文化馆，或换一种角色。"
    ),
    "token_unknown": Entry(404, "没有找到这个令牌。"),
    "user_unknown": Entry(404, "没有找到这个账号。"),
    "setup_spent": Entry(410, "这个链接已经失效。"),
    "centre_unknown": Entry(404, "没有找到文化馆“{centre}”，请检查名称。"),
    "centre_name": Entry(422, "请填写文化馆名称，最多 {longest} 个字。"),
    "centre_level": Entry(422, "层级只能是：{levels}。"),
    # commands
    "not_running": Entry(503, "这个数据文件夹上没有运行中的 Xitai，请先运行 xitai up。"),
    "out_unwritable": Entry(500, "文件写不进去：{reason}"),
}


def sentence(
    code: str, facts: Mapping[str, str | int], translate: Callable[[str], str] = str
) -> str:
    """The sentence of a code, filled in; a code without one speaks for itself."""
    entry = SENTENCES.get(code)
    if entry is None:
        return code
    text = translate(entry.text)
    try:
        return text.format(**facts)
    except (KeyError, IndexError):
        # A sentence that asks for a fact nobody gave: better unfilled than an error on an error.
        return text
