"""The words of a record: kinds, states and languages in Chinese, and how much of each is kept."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "finished": "成片",
    "raw": "素材",
    "micro": "微视频",
    "image": "图片",
    "audio": "音频",
    "course": "课程",
    "lesson": "章节",
    "exhibition": "展览",
    "document": "文献",
    "news": "信息",
}
STATES: Final = {
    "draft": "草稿",
    "review_1": "待初审",
    "review_2": "待复审",
    "review_3": "待终审",
    "published": "已发布",
    "withdrawn": "已撤下",
}
STEPS: Final = {1: "初审", 2: "复审", 3: "终审"}
ORIGINS: Final = {"original": "原创", "optimised": "优化"}
LEDGERS: Final = {"broadcast": "直播图片", "exhibition": "展览图片"}
LICENCES: Final = {
    "centre": "本馆使用",
    "province": "省内共享",
    "nation": "全国共享",
    "open": "公开使用",
}
PEOPLE_ROLES: Final = {
    "performer": "表演",
    "director": "编导",
    "author": "作者",
    "teacher": "主讲",
    "photographer": "摄影",
    "other": "其他",
}
LANGUAGES: Final = {
    "zh": "汉语",
    "zh-x-yunnan": "云南方言",
    "yue": "粤语",
    "nan": "闽南语",
    "hak": "客家话",
    "wuu": "吴语",
    "ii": "彝语",
    "bca": "白语",
    "hni": "哈尼语",
    "khb": "傣语（西双版纳）",
    "tdd": "傣语（德宏）",
    "za": "壮语",
    "hmn": "苗语",
    "lis": "傈僳语",
    "lhu": "拉祜语",
    "prk": "佤语",
    "nxq": "纳西语",
    "ium": "瑶语",
    "bo": "藏语",
    "kac": "景颇语",
    "atb": "载瓦语",
    "blr": "布朗语",
    "pmi": "普米语",
    "acn": "阿昌语",
    "nuf": "怒语",
    "jiu": "基诺语",
    "pce": "德昂语",
    "duu": "独龙语",
    "pcc": "布依语",
    "swi": "水语",
    "mn": "蒙古语",
    "ug": "维吾尔语",
    "kk": "哈萨克语",
    "ko": "朝鲜语",
    "en": "英语",
}
"""BCP 47 → Chinese name: the shortest code a language has, so Yi is "ii" and not "iii"."""

ORIGIN_OF: Final = {"finished": "original", "micro": "optimised"}
"""The ledger a new record of a kind begins in: a micro-video is derived from a work."""
PARENT_OF: Final = {"lesson": "course", "image": "exhibition"}
"""The kind of record that one of this kind can be part of."""

TITLE_MAX: Final = 200
DESCRIPTION_MAX: Final = 20_000
BODY_MAX: Final = 200_000
PLACE_MAX: Final = 200
RIGHTS_HOLDER_MAX: Final = 200
SOURCE_MAX: Final = 500
WHY_MAX: Final = 500
KEYWORDS_MAX: Final = 50
KEYWORD_MAX: Final = 40
LANGUAGES_MAX: Final = 10
PEOPLE_MAX: Final = 300
PERSON_NAME_MAX: Final = 100
LINEAGE_MAX: Final = 100
POSITION_MAX: Final = 100_000
LESSONS_MAX: Final = 1_000
GENRE_NAME_MAX: Final = 40
FIRST_YEAR: Final = 1900
"""Older than any recording: an earlier date is a slip of the pen."""
LAST_YEAR: Final = 2200
