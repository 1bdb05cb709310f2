"""What is found in what people type, and what is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.errors import PayloadTooLarge
from picktune.redaction.numbers import is_date, luhn, resident_id
from picktune.redaction.redactor import RuleRedactor, create_redactor

FOUND = [
    ("my ssn is 123 45 6789", "ssn", "123 45 6789"),
    ("card number 4111 1111 1111 1111 please", "card", "4111 1111 1111 1111"),
    ("the card ending in 4242", "card", "4242"),
    ("call me at five five five one two three four five six", "phone", "five five five one two three four"),
    ("reach me at double five 5 123 4567", "phone", "double five 5 123 4567"),
    ("four one one one double one one one one one one one", "phone", "four one one one double one"),
    ("my account no is 5674", "account", "5674"),
    ("booking number is s 4 n 6 k 3", "reference", "s 4 n 6 k 3"),
    ("my confirmation no asa 852 thanks", "reference", "asa 852"),
    ("john dot doe at gmail dot com", "email", "john dot doe at gmail dot com"),
    ("write to ann 45 gmailcom", "email", "ann 45 gmailcom"),
    ("my name is mary ann smith and i want a refund", "name", "mary ann smith"),
    ("hi this is kavitha", "name", "kavitha"),
    ("my password is hunter2", "secret", "hunter2"),
    ("my password is straße77!x.", "secret", "straße77!x"),
    ("my name is José García, hello", "name", "José García"),
    ("my name is Jose\u0301 thanks", "name", "Jose\u0301"),
    ("card 4111–1111–1111–1111", "card", "4111–1111–1111–1111"),
    ("4111, 1111, 1111, 1111", "card", "4111, 1111, 1111, 1111"),
    ("4111\u200b1111\u200b1111\u200b1111", "card", "4111\u200b1111\u200b1111\u200b1111"),
    ("it is 4242 4242 4441 9000", "card", "4242 4242 4441 9000"),
    ("forty one eleven eleven eleven eleven eleven eleven eleven", "card", "forty one eleven eleven"),
    ("four two four two ... four two four two ... 4242 ... 4242", "card", "four two four two ... 4242"),
    ("四一一一，一一一一，一一一一，一一一一", "card", "四一一一，一一一一，一一一一，一一一一"),
    ("卡 4111 1111 1111 1111 12/27", "card", "4111 1111 1111 1111"),
    ("i live at 12 main street springfield", "address", "12 main street springfield"),
    ("my dob is 4 july 1990", "birth", "4 july 1990"),
    ("my passport number is X1234567", "passport", "X1234567"),
    ("我叫张三丰，想退货", "name", "张三丰"),
    ("手机１３８１２３４５６７８", "phone", "１３８１２３４５６７８"),
    ("打给我一三八一二三四五六七八", "phone", "一三八一二三四五六七八"),
    ("我的身份证号是11010519491231002X", "id", "11010519491231002X"),
    ("银行卡 6222 0212 3456 7890 123", "card", "6222 0212 3456 7890 123"),
    ("车牌京A12345", "plate", "京A12345"),
    ("护照号E12345678", "passport", "E12345678"),
    ("加我微信 abc_123456", "wechat", "abc_123456"),
    ("我的qq是12345678", "qq", "12345678"),
    ("订单号A1234567呢", "reference", "A1234567"),
    ("寄到北京市朝阳区建国路88号", "address", "北京市朝阳区建国路88号"),
    ("密码是abc12345", "secret", "abc12345"),
]  # fmt: skip
NOTHING = [
    "I want to return 20 keyboards for 2000 dollars by 9/20/2018",
    "i am looking for my bag",
    "i am very unhappy with the service",
    "the flight leaves on 92018 at 600 am",
    "my order was 250 dollars",
    "can i change my seat to 12 a",
    "it costs $1234567",
    "it costs 1,234,567 dollars, or 1.234.567",
    "twenty five people and then thirty more",
    "那一千二百三十四万五千六百七十八",
    "我是来退货的，已经等了三天",
    "这个包裹什么时候到，我买了两件衣服",
    "中国移动的服务",
    "",
    " ",
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND, ids=[value for _, _, value in FOUND])
def test_personal_data_is_found_where_people_do_not_punctuate(
    redactor: RuleRedactor, text: str, kind: str, value: str
) -> None:
    found = [(one.kind, text[one.start : one.end]) for one in redactor.find(text)]
    assert any(each == kind and value in covered for each, covered in found), found


@pytest.mark.parametrize("text", NOTHING)
def test_amounts_dates_and_plain_talk_stay(redactor: RuleRedactor, text: str) -> None:
    assert [text[one.start : one.end] for one in redactor.find(text)] == []


@pytest.mark.parametrize(
    ("asked", "text", "kind"),
    [
        ("May I have your name please?", "nila", "name"),
        ("Could you tell me your account number?", "it is 741", "account"),
        ("请问您怎么称呼？", "王小明", "name"),
    ],
)
def test_a_bare_answer_is_read_by_its_question(
    redactor: RuleRedactor, asked: str, text: str, kind: str
) -> None:
    assert [one.kind for one in redactor.find(text, asked=asked)] == [kind]
    assert not redactor.find(text, asked="How can I help you?")


def test_only_the_kinds_and_languages_that_are_asked_for_are_taken() -> None:
    text = "my name is mary, call 555 123 4567, 我叫张三丰"
    phones = create_redactor(kinds=("phone",), locales=("en",))
    assert [text[one.start : one.end] for one in phones.find(text)] == ["555 123 4567"]


@pytest.mark.parametrize(
    "text", ["1 ", "a", "(", "my name is ", "a.b ", "@", "地址是", "1-", "京A", "省", "x at x dot ", "市区路"]
)
def test_time_grows_no_faster_than_the_text(text: str) -> None:
    rules = RuleRedactor()
    rules.find(text * 10)
    started = time.process_time()
    rules.find(text * (100_000 // len(text)))
    assert time.process_time() - started < 5


def test_a_text_without_end_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="too long to be redacted"):
        RuleRedactor().find("a" * 10_000_000)


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_spans_lie_in_the_text_in_order_and_apart(text: str) -> None:
    at = 0
    for one in RuleRedactor().find(text):
        assert at <= one.start < one.end <= len(text)
        at = one.end


def test_check_digits() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert resident_id("11010519491231002X")
    assert not resident_id("110105194912310021")
    assert is_date("20180920")
    assert is_date("92018")
    assert not is_date("741599")
