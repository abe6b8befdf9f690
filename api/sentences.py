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
    "standing_unknown": Entry(
        422, "没有这种计法：只有本馆一场、联动转播、重播展播和测试彩排四种。"
    ),
    "standing_origin_needed": Entry(422, "请填所转播（或重播）的那一场的编号，或它的观看地址。"),
    "standing_origin_unknown": Entry(
        422, "没有找到所转播（或重播）的那一场，请核对编号或观看地址。"
    ),
    "clip_not_found": Entry(404, "没有找到这段微视频，请检查编号。"),
    "clip_range": Entry(422, "结束时间要晚于开始时间，并且都在录像之内。"),
    "clip_pairs": Entry(422, "每个开始时间（--in）都要有一个结束时间（--out）。"),
    "clip_empty_list": Entry(422, "请至少选一段。"),
    "clip_too_many": Entry(422, "一条微视频最多由 {most} 段组成。"),
    "clip_in_negative": Entry(422, "{which}入点不能早于 0 秒。"),
    "clip_empty": Entry(422, "{which}出点（{end}）要晚于入点（{start}）。"),
    "clip_past_end": Entry(422, "{which}出点（{end}）超出了节目长度（{length}）。"),
    "clip_too_long": Entry(422, "片段长 {length}，最长 {most}。"),
    "clip_nothing_yet": Entry(409, "{which}“{title}”还没有录下画面，不能剪辑。"),
    "clip_no_footage": Entry(422, "{which}这一段没有录到画面，请换一段。"),
    "clip_mixed": Entry(422, "有的节目只有声音、没有画面，不能和有画面的剪在一起。"),
    "clip_source_making": Entry(409, "{which}“{title}”还在制作，做好了再剪。"),
    "clip_source_gone": Entry(409, "{which}“{title}”没有做成或已下架，不能剪辑。"),
    # phone forms
    "form_kind": Entry(422, "只能做成：{kinds}（vertical 竖版、square 方版）。"),
    "form_of_form": Entry(409, "这已经是手机版了，请从原片再做一条。"),
    "form_source_gone": Entry(409, "原片没有做成，或已撤下，不能做手机版。"),
    "form_no_picture": Entry(422, "这条视频只有声音，没有画面，做不了手机版。"),
    "form_too_long": Entry(422, "手机版最长 {most} 分钟，请先剪短。"),
    "form_under_way": Entry(409, "这条视频的{form}正在做，请等它做完或取消后再做。"),
    "form_title_empty": Entry(422, "请填片头文字，或者不要片头。"),
    "form_text_long": Entry(422, "{field}有 {length} 个字，最多 {most} 个。"),
    "form_text_undrawable": Entry(422, "{field}里的字都画不出来（表情、特殊符号），请换成文字。"),
    "form_thirds_many": Entry(422, "字幕条最多 {most} 条。"),
    "form_third_empty": Entry(422, "第 {number} 条字幕没有填名字。"),
    "form_third_times": Entry(
        422, "第 {number} 条字幕的时间不对：至少一秒，并且要在这条视频之内。"
    ),
    "form_thirds_overlap": Entry(422, "第 {number} 条字幕和前一条的时间重叠了。"),
    # masters
    "work_not_found": Entry(404, "没有找到这件作品，请检查编号。"),
    "master_not_ready": Entry(409, "MP4 文件还没有准备好，请先准备，做好后再下载。"),
    "master_no_media": Entry(409, "这件作品还没有做好，暂时没有可下载的内容。"),
    "clip_failed": Entry(500, "微视频没有做成：{reason}"),
    "job_not_found": Entry(404, "没有找到这项任务，请检查编号。"),
    "job_not_open": Entry(409, "这项任务已经结束，不能取消。"),
    "job_not_over": Entry(409, "这项任务还没有失败或取消，不用重试。"),
    "job_live": Entry(409, "直播转码不能单独取消，请结束直播。"),
    # stills and photographs
    "still_unknown": Entry(404, "没有找到这张图片，页面可能旧了，请刷新后再试。"),
    "stills_none": Entry(422, "还没有选中图片。"),
    "stills_many": Entry(422, "一次最多 {most} 张，这次有 {sent} 张，请分几次。"),
    "stills_count": Entry(422, "一次挑 1 到 {most} 张。"),
    "stills_not_ready": Entry(409, "这个作品还没有做好；做好以后会自动挑图片。"),
    "stills_no_footage": Entry(409, "这场演出还没有录下画面，没有图片可挑。"),
    # records, review, take-down
    "resource_unknown": Entry(404, "没有找到这个资源，请检查编号。"),
    "resource_field": Entry(422, "“{label}”填得不对：{reason}。"),
    "resource_kind": Entry(422, "类别只能是：{kinds}。"),
    "resource_has_footage": Entry(409, "这个资源的内容是录像，不能另传文件。"),
    "record_changed": Entry(409, "别人刚刚改过这个资源，请看过最新内容再试；您的改动没有保存。"),
    "record_state": Entry(409, "这个资源现在是“{state}”，不能做这一步。"),
    "bulk_too_many": Entry(422, "一次最多改 {most} 个资源，这次有 {sent} 个。"),
    "why_needed": Entry(422, "请写明原因，最多 {most} 个字。"),
    "contract_needed": Entry(403, "您的账号还没有登记合同，请找管理员填写。"),
    "review_needs_person": Entry(403, "审核要由本人登录后进行，令牌不能代替。"),
    "review_not_your_step": Entry(403, "现在是{step}，请由负责{step}的人员审核。"),
    "review_own_work": Entry(403, "自己提交或修改的资源，要由别人审核。"),
    "review_same_person": Entry(403, "三审至少要有 {people} 个人参加，这一步请换一个人。"),
    "genre_name": Entry(422, "请填写门类名称，最多 {most} 个字。"),
    "genre_taken": Entry(409, "已经有门类“{name}”了。"),
    "genre_unknown": Entry(404, "没有找到这个门类。"),
    "taken_down": Entry(410, "这个内容已下架。"),
    "not_taken_down": Entry(409, "这个内容没有下架，不用恢复。"),
    "takedown_kind": Entry(422, "只能下架直播（broadcast）、作品（work）或资源（resource）。"),
    # files of records
    "record_files_many": Entry(422, "一次最多传 {most} 个文件，这次有 {sent} 个，请分几次传。"),
    "record_file_kind": Entry(422, "这一类资源没有文件可传。"),
    "record_file_large": Entry(413, "文件有 {size} MB，最多 {most} MB。"),
    "record_file_type": Entry(422, "这个文件认不出来，请换成{words}。"),
    "record_file_broken": Entry(
        422, "这个文件打不开，可能没有传完整或者已损坏，请重新导出后再传。"
    ),
    # search
    "search_page": Entry(
        422, "一页最多 {limit} 条，最多翻到第 {offset} 条；请把条件写得更细一些。"
    ),
    # plays
    "beacon_batch": Entry(422, "一次最多上报 {most} 条播放记录，这次有 {sent} 条。"),
    "beacon_field": Entry(422, "播放记录里的 {field} 不对。"),
    "item_unknown": Entry(404, "没有找到这个节目，请检查编号。"),
    "outside_platform": Entry(422, "请填写平台名称，最多 {most} 个字。"),
    "outside_clicks": Entry(422, "次数要是 0 或更大的整数。"),
    "outside_future": Entry(422, "读数的时间还没到，请填写实际看到数字的时间。"),
    "outside_seen": Entry(422, "看不懂这个时间，请重新选一次。"),
    "outside_link": Entry(422, "链接要以 http:// 或 https:// 开头。"),
    "outside_evidence": Entry(422, "请附上截图或链接：站外的数字要有凭据。"),
    "outside_picture": Entry(422, "截图要是 PNG、JPG 或 WebP 图片，最大 {most} MB。"),
    # accounts and centres
    "login_form": Entry(422, "用户名只能用文字、数字和 . _ - @，长度 {least} 到 {most} 位。"),
    "login_taken": Entry(409, "用户名 {login} 已经有人用了，请换一个。"),
    "password_length": Entry(422, "密码要有 {least} 到 {most} 位。"),
    "password_plain": Entry(422, "密码太简单，请换一个。"),
    "password_wrong": Entry(403, "现在的密码不对，请检查大小写后再试。"),
    "account_self": Entry(409, "不能停用自己的账号，请另一位管理员来做。"),
    "centre_reviewers": Entry(422, "三审的人数只能是 1、2 或 3。"),
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
    # sheets of records
    "sheet_not_xlsx": Entry(422, "这不是 XLSX 工作簿。请用 Excel 或 WPS 另存为 .xlsx 后再导入。"),
    "sheet_old": Entry(
        422, "这是旧版 .xls 文件，或者设了打开密码。请去掉密码、另存为 .xlsx 后再导入。"
    ),
    "sheet_broken": Entry(422, "这个工作簿已损坏，读不出来。请重新另存为 .xlsx 后再导入。"),
    "sheet_large": Entry(413, "工作簿太大，最多 {most} MB。"),
    "sheet_bomb": Entry(413, "工作簿展开后有 {size} MB，超出限度（{most} MB），没有导入。"),
    "sheet_rows": Entry(422, "一个文件最多 {most} 行，请分成几个文件导入。"),
    "sheet_headings": Entry(422, "前几行里没有找到栏目名称；至少要有“{headings}”之一。"),
    "sheet_heading": Entry(422, "不认识栏目“{heading}”，请对照模板修改，或者删去这一列。"),
    "sheet_heading_twice": Entry(422, "栏目“{heading}”出现了两次，请删去一列。"),
    "sheet_cell": Entry(422, "“{column}”：{reason}。"),
    "sheet_export": Entry(422, "一次最多导出 {most} 条，请缩小范围。"),
    # packages and webhooks
    "package_choice": Entry(422, "请在编号、检索词、年份中选一种方式指定要打包的资源。"),
    "package_empty": Entry(422, "没有可以打包的资源。"),
    "package_unknown": Entry(404, "没有找到这些资源，或者已经撤下：{ids}。"),
    "package_too_many": Entry(422, "一个报送包最多 {most} 条，请分成几个。"),
    "package_not_ready": Entry(409, "报送包还没有做好，请稍后再来下载。"),
    "package_gone": Entry(410, "这个报送包已过保存期限，请重新打包。"),
    "webhook_unknown": Entry(404, "没有找到这个通知地址。"),
    "webhook_url": Entry(422, "通知地址不能用：{reason}。"),
    "webhook_event": Entry(422, "没有“{event}”这种事件；可用的有：{events}。"),
    "webhook_too_many": Entry(409, "一个馆最多设 {most} 个通知地址。"),
    "webhook_off": Entry(409, "这个通知地址已停用，请先启用。"),
    "delivery_unknown": Entry(404, "没有找到这条通知。"),
    # files handed in with a form
    "file_too_large": Entry(413, "文件太大了，最多 {most} MB。"),
    "file_kind": Entry(422, "这种文件收不了；可以用：{kinds}。"),
    # plans and the values kept by hand
    "plan_unknown": Entry(404, "没有找到这个计划。"),
    "plan_not_yours": Entry(403, "“{title}”由{centre}维护，您可以看，不能改。"),
    "plan_template_unknown": Entry(404, "没有“{name}”这个模板；可用的有：{known}。"),
    "plan_exists": Entry(
        409,
        "已经有编号为 {plan} 的计划“{title}”（{year} 年）。同一年可以有几个计划，但编号不能相同。",
    ),
    "plan_exists_withdrawn": Entry(
        409, "编号为 {plan} 的计划“{title}”（{year} 年）已停用，数据都在；请恢复它，或换一个编号。"
    ),
    "plan_changed": Entry(409, "别人刚刚改过“{title}”，请看过最新内容再改；您的改动没有保存。"),
    "plan_field": Entry(422, "“{field}”填得不对：{reason}。"),
    "plan_query": Entry(422, "“{field}”设得不对：{reason}。"),
    "plan_code_twice": Entry(422, "指标编号 {target} 出现了两次。"),
    "plan_target_unknown": Entry(404, "这个计划里没有指标 {target}。"),
    "entry_unknown": Entry(404, "没有找到这条填报。"),
    "entry_unit": Entry(422, "这个指标由“{who}”承担，“{centre}”不在其中。"),
    "entry_value": Entry(422, "数值填得不对：{reason}。"),
    "entry_percent": Entry(422, "“{indicator}”是比例，不能超过 100%。"),
    "entry_period": Entry(422, "“{indicator}”要{asked}填报。"),
    "entry_period_mixed": Entry(
        422,
        "“{indicator}”已经用另一种周期填过了。同一年要么填全年，要么分季度或分月填，否则会重复计算；"
        "要改的话请先撤回原来的。",
    ),
    "entry_future": Entry(422, "这段时间还没有开始，不能填报。"),
    "entry_replaced": Entry(409, "这条填报已被后来的更正代替，请撤回最新的一条。"),
    "entry_evidence": Entry(422, "请附上依据：文件、链接或说明，至少一项。"),
    "entry_evidence_many": Entry(422, "依据最多 {most} 项。"),
    "entry_evidence_long": Entry(422, "每项依据最多 {most} 个字。"),
    "entry_evidence_bad": Entry(422, "依据不对：链接要以 http:// 或 https:// 开头，文件要先上传。"),
    # returns, and old years brought in
    "return_unknown": Entry(404, "没有找到这份上报，请检查编号。"),
    "return_why": Entry(422, "已经有第 {revision} 版了；再出一版请写明更正原因。"),
    "return_why_long": Entry(422, "更正原因最多 {most} 个字。"),
    "return_same": Entry(409, "与第 {revision} 版完全一样，不用再冻结一版。"),
    "return_empty": Entry(422, "这个计划没有“{centre}”及其下级馆的任务，没有可冻结的数据。"),
    "return_cut_off": Entry(422, "截止时间不能晚于现在。"),
    "return_cut_off_early": Entry(422, "截止时间早于 {year} 年年初，没有可冻结的数据。"),
    "return_year": Entry(422, "年份 {year} 不对，应在 2000 到 2200 之间。"),
    "return_years": Entry(422, "年份要从小到大，一次最多 {most} 年。"),
    "return_file_not_ready": Entry(409, "报表还没有写好，请等任务完成后再下载。"),
    "return_file_gone": Entry(410, "这个文件已过期清理，请重新导出。"),
    "return_centres_admin": Entry(403, "新建文化馆要由管理员来做；也可以先建好文化馆再导入。"),
    "return_file_large": Entry(413, "文件太大了，最多 {most} MB。"),
    "return_file_text": Entry(422, "文件不是 UTF-8 编码，请另存为 UTF-8 后再导入。"),
    "return_file_yaml": Entry(422, "文件第 {line} 行写得不对，读不懂；请检查缩进、冒号和引号。"),
    "return_file_key": Entry(422, "文件第 {line} 行的名称重复了，或不是文字。"),
    "return_file_shape": Entry(
        422, "文件里没有可导入的内容：要有 centres（单位）或 broadcasts（直录播）列表。"
    ),
    "return_file_year": Entry(422, "文件是 {found} 年的，不是 {year} 年的。"),
    "return_file_rows": Entry(422, "内容太多：最多 {centres} 个单位、{broadcasts} 场。"),
    "return_row_centre": Entry(422, "没有写单位名称。"),
    "return_row_centre_unknown": Entry(
        422, "计划里没有单位“{centre}”，请先建好并归入计划，或在导入时选择新建文化馆。"
    ),
    "return_row_centre_outside": Entry(
        422, "文化馆“{centre}”不在这个计划的范围内，请先把它归入计划。"
    ),
    "return_row_indicators": Entry(422, "指标列表不对，或超过 {most} 项。"),
    "return_row_indicator": Entry(422, "计划里这个单位没有叫“{indicator}”的指标。"),
    "return_row_twice": Entry(422, "与前面的一条重复。"),
    "return_row_number": Entry(422, "“{given}”不是有效的数字。"),
    "return_row_negative": Entry(422, "数字不能是负的：{given}。"),
    "return_row_digits": Entry(422, "“{given}”的小数位太多，最多 {most} 位。"),
    "return_row_title": Entry(422, "请填写名称，最多 {most} 个字。"),
    "return_row_mode": Entry(422, "形式要写“直播”或“录播”，这里是“{given}”。"),
    "return_row_date": Entry(422, "日期“{given}”不对，要写成 2020-04-13 这样。"),
    "return_row_future": Entry(422, "日期 {given} 还没有到。"),
    "return_row_year": Entry(422, "日期 {given} 不在 {year} 年。"),
    "return_row_withdrawn": Entry(409, "这一场以前撤下过，没有再导入。"),
    # programme lists, marks, acts
    "programme_unknown": Entry(404, "没有找到这场演出，请检查编号。"),
    "programme_nothing": Entry(422, "请先粘贴节目单，或选一个文件。"),
    "programme_too_long": Entry(422, "节目单有 {lines} 行，最多 {most} 行。"),
    "programme_line_empty": Entry(422, "节目单第 {line} 行没有节目名称。"),
    "programme_line_long": Entry(
        422, "节目单第 {line} 行的{field}有 {length} 个字，最多 {most} 个字。"
    ),
    "programme_line_time": Entry(422, "节目单第 {line} 行的时间不对，请按“分:秒”填写。"),
    "programme_changed": Entry(409, "别人刚刚改过节目单，请看过最新内容再改；您的改动没有保存。"),
    "mark_label": Entry(422, "打点的名称最多 {most} 个字。"),
    "mark_outside": Entry(422, "这个时间不在节目里，没有打点。"),
    "mark_unknown": Entry(404, "没有找到这个打点，可能已经撤回了。"),
    "marks_too_many": Entry(409, "打点已有 {most} 个，请先删掉一些。"),
    "acts_changed": Entry(
        409, "别人刚刚改过节目段，请看过最新内容再改；您的改动没有保存，还在这一页上。"
    ),
    "acts_too_many": Entry(422, "节目段最多 {most} 段。"),
    "acts_overlap": Entry(422, "第 {number} 段的开始早于上一段的结束，两段重叠了，请改一下时间。"),
    "act_title": Entry(422, "第 {number} 段的名称太长了，最多 {most} 个字。"),
    "act_outside": Entry(422, "第 {number} 段的时间超出了节目长度，请改一下。"),
    "act_too_short": Entry(422, "第 {number} 段太短了：结束要比开始晚至少 1 秒。"),
    "act_unknown": Entry(404, "没有找到这一段，可能刚刚被改过，请刷新后再试。"),
    "clips_too_many": Entry(422, "一次最多剪 {most} 条，请分几次。"),
    "acts_none": Entry(422, "还没有选中任何一段。"),
    "acts_no_footage": Entry(409, "还没有录到画面，开播以后再来。"),
    # reading programme lists, analysing
    "programme_text_long": Entry(413, "节目单有 {length} 个字，最多读 {most} 个字。"),
    "programme_no_lines": Entry(
        422, "没有认出节目。请一行写一个节目，例如：1、舞蹈《欢聚一堂》 表演：文化馆舞蹈队。"
    ),
    "programme_pdf_broken": Entry(422, "这个 PDF 读不出来，可能已经损坏。请改为粘贴文字或传表格。"),
    "programme_pdf_locked": Entry(422, "这个 PDF 有密码，请去掉密码再传，或改为粘贴文字。"),
    "programme_pdf_pages": Entry(413, "这个 PDF 超过 {most} 页，不像是节目单。"),
    "programme_pdf_picture": Entry(
        422, "这个 PDF 里只有图片，没有文字可读。请改为粘贴文字或传表格。"
    ),
    "acts_too_long": Entry(422, "节目超过 {hours} 小时，不能自动分段。"),
    # uploads
    "upload_unknown": Entry(404, "没有找到这个上传，请检查编号。"),
    "upload_purpose": Entry(422, "用途只能是录像（recording）或照片（photo）。"),
    "upload_name": Entry(422, "文件没有名字，请改名后再传。"),
    "upload_empty": Entry(422, "这是个空文件，没有内容可传。"),
    "upload_large": Entry(413, "文件有 {size}，最大只能传 {most}。"),
    "upload_no_room": Entry(
        507, "服务器的空间不够：文件有 {size}，还能收 {room}。请找管理员清理后再传。"
    ),
    "upload_disk_full": Entry(
        507, "服务器的空间满了，先停在这里；已传的部分都在，腾出空间后会接着传。"
    ),
    "upload_disk": Entry(500, "服务器的磁盘出了问题，已传的部分都在。请找管理员看一下，稍后再试。"),
    "upload_many_open": Entry(429, "没传完的文件已有 {most} 个，请先传完或取消几个。"),
    "upload_sha256": Entry(422, "校验值要是 64 位的 SHA-256。"),
    "upload_parent": Entry(422, "照片只能放进展览里，请检查编号。"),
    "upload_duplicate": Entry(409, "这个文件以前传过，就是“{title}”，没有重复收下。"),
    "upload_locked": Entry(423, "这个文件正在另一个窗口里传，请稍等或关掉那个窗口。"),
    "upload_gone": Entry(410, "这个上传已经取消或过期，请重新传。"),
    "upload_not_kept": Entry(409, "这个文件放得太久，已经清理了，请再传一次。"),
    "upload_over": Entry(409, "这个文件已经传完，不能再改。"),
    "upload_over_length": Entry(413, "传来的内容比文件说好的长度还多，已拒绝。"),
    "upload_registered": Entry(409, "这个文件已经入库，要删除请到资源库里撤下。"),
    "tus_version": Entry(412, "上传协议的版本不对，服务器用的是 tus 1.0.0。"),
    "tus_method": Entry(400, "上传不支持用请求头改变方法。"),
    "tus_concat": Entry(400, "不支持把几个上传拼成一个（Upload-Concat）。"),
    "tus_length": Entry(400, "创建上传时要写明文件长度（Upload-Length），以后不能再改。"),
    "tus_creation_body": Entry(400, "创建上传时不能带内容，请创建之后再传。"),
    "tus_metadata": Entry(400, "文件信息（Upload-Metadata）写得不对。"),
    "tus_type": Entry(415, "内容类型要是 application/offset+octet-stream。"),
    "tus_body_length": Entry(411, "请求要写明内容长度（Content-Length）。"),
    "tus_offset": Entry(400, "没有写明从哪里接着传（Upload-Offset），或者写得不对。"),
    "tus_offset_other": Entry(409, "接着传的位置不对，请先问清已经传到哪里。"),
    "tus_checksum_kind": Entry(400, "校验要用 sha256。"),
    "tus_checksum": Entry(460, "这一段在路上传错了，没有收下，请再传一次。"),
    # commands
    "not_running": Entry(503, "这个数据文件夹上没有运行中的 Xitai，请先运行 xitai up。"),
    "out_unwritable": Entry(500, "文件写不进去：{reason}"),
}


class Problem(Exception):
    """An answer that is no success. ``code`` is one of ``SENTENCES``."""

    def __init__(
        self, code: str, *, headers: Mapping[str, str] | None = None, **facts: str | int
    ) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts
        self.headers = headers


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
