"""The rules by which rows are left out, each in words: what is wrong with a row, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """What a rule says of a row, in English and Chinese, and what whoever wants the row can do."""

    english: str
    chinese: str
    remedy: str


RULES: dict[str, Rule] = {
    "empty_prompt": Rule(
        "nobody says anything", "对话为空", "send the conversation's messages with the slate"
    ),
    "bad_choice": Rule(
        "the pick is not on the slate", "所选回复不在列表中", "decide on the slate again, or leave it"
    ),
    "empty_reply": Rule(
        "a reply is empty", "有空回复", "look why an arm answers with nothing: stop words, too few max_tokens"
    ),
    "no_alternative": Rule(
        "fewer than two distinct replies",
        "不同的回复少于两条",
        "draw with a higher temperature, or more candidates",
    ),
    "no_weight": Rule(
        "annotator without weight", "标注者权重为零", "give the annotator a weight above nought"
    ),
    "overlong": Rule(
        "longer than can be learned from",
        "过长",
        "raise --longest-reply or --longest-prompt, or 0 for no limit",
    ),
    "redacted": Rule(
        "nothing but redacted values is left of it",
        "脱敏后没有剩下内容",
        "nothing: what was redacted is not in the log; look at the setting redaction if it takes too much",
    ),
    "repeated": Rule("the same pick again", "重复的选择", "nothing: the first of them is learned from"),
    "contradicted": Rule(
        "the same person picked differently among the same replies",
        "同一人在相同回复间作出相反选择",
        "let that person decide once more on one of the slates, and undo the other",
    ),
    "disputed": Rule(
        "too few of those who decided on the same replies picked this one",
        "与其他人的选择分歧过大",
        "let an expert decide on it too, or lower --min-agreement",
    ),
    "burst": Rule(
        "more picks a minute than a person can give",
        "短时间内选择过多",
        "ask the annotator; if a program picked, give it the role model; or raise --most-a-minute",
    ),
    "one_place": Rule(
        "the annotator always picks the same place",
        "标注者总选同一位置",
        "ask the annotator to read all replies; see that the order is really shuffled; or --one-place 0",
    ),
    "too_fast": Rule(
        "decided sooner than the replies can be read", "决定过快", "lower --min-dwell if that is wrong"
    ),
    "poorly_scored": Rule(
        "experts gave the picked reply a low score",
        "专家对所选回复评分低",
        "lower --min-score if that is wrong",
    ),
    "bridges_splits": Rule(
        "would leak between splits",
        "会造成划分间泄漏",
        "nothing: its conversation, or what it nearly repeats, is on both sides of the split already",
    ),
}
