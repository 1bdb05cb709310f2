"""Our own rules for Chinese: mobile numbers, identity cards, bank cards, plates, names and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from picktune.redaction.base import Found, Kind
from picktune.redaction.numbers import luhn, resident_id
from picktune.redaction.tokens import plain

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段漕钱汤尹黎易常武乔贺赖龚文"
)
_DOUBLE = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯"
_NOT_NAMES = re.compile(r"[的了吗呢吧啊是在想要买有没不你我他她它这那什么和跟把被给去来到一个]")
_IS = r"(?:[是为叫]|[:：]|号码?|号?\s*[:：是为])?\s{0,3}(?:[:：是为叫])?\s{0,3}"
_SPOKEN = str.maketrans("零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖", "001234567891123456789")
_DIGIT = "[0-9零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖]"
_BETWEEN = "[-, ./、。]{0,2}"

_MOBILE = re.compile(r"(?<![0-9])(?:\+?86[ -]?)?1[3-9][0-9](?:[ -]?[0-9]){8}(?![0-9])")
_SPOKEN_MOBILE = re.compile(r"[零〇一二三四五六七八九幺]{11}")
_LANDLINE = re.compile(r"(?<![0-9])0[0-9]{2,3}-[0-9]{7,8}(?![0-9])")
_ID = re.compile(r"(?<![0-9])[1-9][0-9]{16}[0-9x](?![0-9])")
_CARD = re.compile(rf"(?<![0-9]){_DIGIT}(?:{_BETWEEN}{_DIGIT}){{12,18}}(?![0-9])")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][a-z][·. ]?[a-z0-9]{5,6}(?![a-z0-9])"
)
_PASSPORT = re.compile(r"(?<![a-z0-9])(?:e[a-z][0-9]{7}|[egdsph][0-9]{8})(?![a-z0-9])")
_CALLED = re.compile(
    rf"(?:我叫|名字[是叫]|名字[:：]|姓名{_IS}|收件人{_IS}|收货人{_IS}|联系人{_IS}|称呼我)\s?([\u4e00-\u9fff]{{2,4}})"
)
_AM = re.compile(rf"我是((?:{_DOUBLE}|[{_SURNAMES}])[\u4e00-\u9fff]{{1,2}})(?![\u4e00-\u9fff])")
_SURNAME = re.compile(rf"我姓({_DOUBLE}|[{_SURNAMES}])")
_PARTS = (
    r"(?:[\u4e00-\u9fff]{2,8}(?:省|自治区))?[\u4e00-\u9fff]{2,6}[市州盟](?:[\u4e00-\u9fff]{1,6}[区县市旗])?"
    r"[\u4e00-\u9fff0-9]{1,12}(?:路|街|道|巷|弄|大道|镇|乡|村|小区|花园|广场|大厦)[\u4e00-\u9fffa-z0-9-]{0,24}"
)
_ADDRESS = re.compile(_PARTS)
_LIVES = re.compile(r"(?:地址(?:是|为|[:：])|我?家?住在|寄[到给]|送[到往])\s?([^，。；！？,.;!?\n]{4,40})")
_PLACE = re.compile(r"[省市区县路街道巷弄号室楼栋镇村单元]")

_AT = r"(?:@|\s?艾特\s?|\s?at\s?)"

# What is announced: the words, then how the value looks.
_ANNOUNCED: tuple[tuple[str, str, Kind], ...] = (
    (r"微信号?|v信|vx|wx|加我(?:微信)?", r"[a-z][-_a-z0-9]{5,19}", "wechat"),
    (r"微信号?|v信|vx", r"1[3-9][0-9]{9}", "wechat"),
    (r"qq号?|扣扣号?", r"[1-9][0-9]{4,11}", "qq"),
    (r"手机号?码?|电话号?码?|联系方式|座机", r"[0-9](?:[ -]?[0-9]){6,13}", "phone"),
    (r"身份证号?码?|证件号?码?", r"[0-9](?:[ -]?[0-9]){13,16}[0-9x]", "id"),
    (r"护照号?码?", r"[a-z][a-z0-9]{6,9}", "passport"),
    (r"银行卡号?|信用卡号?|储蓄卡号?|卡号|尾号", rf"{_DIGIT}(?:{_BETWEEN}{_DIGIT}){{3,18}}", "card"),
    (r"账号|帐号|账户|帐户|户口号|会员号|客户号|用户id|用户名", r"[a-z0-9][-_a-z0-9]{3,29}", "account"),
    (r"(?:订|运|快递)?单号?|预[订定]号|确认[码号]|票号|编号", r"[a-z0-9][-a-z0-9]{4,29}", "reference"),
    (r"密码|验证码|口令|校验码|取件码", r"[^\s，。；,.;\u4e00-\u9fff]{3,40}", "secret"),
    (r"邮箱|邮件地址|电子邮件", rf"[a-z0-9._-]{{1,64}}{_AT}[a-z0-9-]{{1,40}}(?:\.|点)[a-z]{{2,6}}", "email"),
    (r"车牌号?", r"[\u4e00-\u9fff][a-z][·. ]?[a-z0-9]{4,6}", "plate"),
)  # fmt: skip
_CUED = tuple((re.compile(f"(?:{words}){_IS}({value})"), kind) for words, value, kind in _ANNOUNCED)


def find(text: str, *, asked: str = "") -> Iterator[Found]:
    """Everything that the rules find, overlaps and all."""
    said = plain(text)
    for pattern, kind in _CUED:
        yield from (_found(match, kind, 2, 1) for match in pattern.finditer(said))
    for match in _ID.finditer(said):
        if resident_id(match[0]):
            yield _found(match, "id", 2)
    for match in _CARD.finditer(said):
        if (end := _card(match[0])) is not None:
            yield Found(start=match.start(), end=match.start() + end, kind="card", sure=2)
    for pattern, kind in _PLAIN_FORMS:
        yield from (_found(match, kind) for match in pattern.finditer(said))
    for match in _SPOKEN_MOBILE.finditer(said):
        if match[0].translate(_SPOKEN)[:2] in {f"1{digit}" for digit in range(3, 10)}:
            yield _found(match, "phone")
    for match in _CALLED.finditer(said):
        if (name := _name(match[1])) is not None:
            yield Found(start=match.start(1), end=match.start(1) + len(name), kind="name")
    for pattern in (_AM, _SURNAME):
        yield from (_found(match, "name", 1, 1) for match in pattern.finditer(said))
    for match in _LIVES.finditer(said):
        if _PLACE.search(match[1]):
            yield _found(match, "address", 1, 1)
    if _asks_name(asked) and 2 <= len(said.strip()) <= 4 and (name := _name(said.strip())) is not None:
        at = said.index(name)
        yield Found(start=at, end=at + len(name), kind="name")


_PLAIN_FORMS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (_MOBILE, "phone"),
    (_LANDLINE, "phone"),
    (_PLATE, "plate"),
    (_PASSPORT, "passport"),
    (_ADDRESS, "address"),
)


def _found(match: re.Match[str], kind: Kind, sure: int = 1, group: int = 0) -> Found:
    return Found(start=match.start(group), end=match.end(group), kind=kind, sure=sure)


def _card(text: str) -> int | None:
    """Where the longest card number at the start ends: a whole group that has its check digit."""
    said = text.translate(_SPOKEN)
    ends = [at + 1 for at, letter in enumerate(said) if letter.isdigit()]
    for count in range(min(19, len(ends)), 12, -1):
        end = ends[count - 1]
        whole = end == len(said) or not said[end].isdigit()
        digits = "".join(letter for letter in said[:end] if letter.isdigit())
        if whole and luhn(digits) and digits.strip("0"):
            return end
    return None


def _asks_name(asked: str) -> bool:
    return any(words in asked[-200:] for words in ("姓名", "名字", "怎么称呼", "贵姓", "收件人"))


def _name(text: str) -> str | None:
    """The name at the start: a surname of one or two characters and one or two more; others as they stand."""
    stop = _NOT_NAMES.search(text)
    text = text[: stop.start()] if stop else text
    if re.match(_DOUBLE, text):
        return text[:4] if len(text) >= 3 else None
    if len(text) >= 2 and text[0] in _SURNAMES:
        return text[:3]
    return text if len(text) >= 2 and all("\u4e00" <= one <= "\u9fff" for one in text) else None
