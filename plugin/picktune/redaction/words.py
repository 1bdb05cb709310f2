"""The words by which the rules for English go: those that announce something, and those that are no names."""

from __future__ import annotations

from picktune.redaction.base import Kind


def words_of(text: str) -> frozenset[str]:
    """The words of a text, once each."""
    return frozenset(text.split())


DIGITS = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
REPEATS = {"double": 2, "triple": 3, "treble": 3}
TEENS = {
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
}  # fmt: skip
TENS = {
    "twenty": "2", "thirty": "3", "forty": "4", "fourty": "4", "fifty": "5", "sixty": "6", "seventy": "7",
    "eighty": "8", "ninety": "9",
}  # fmt: skip
PAUSES = words_of("dash hyphen space then um uh er")

# What is announced by which words.
_ANNOUNCED: dict[Kind, tuple[str, ...]] = {
    "ssn": (
        "social security", "ssn",
    ),
    "card": (
        "credit card", "debit card", "card", "visa", "mastercard",
    ),
    "phone": (
        "phone", "telephone", "cell", "mobile", "whatsapp", "call me at", "call me on", "reach me at",
        "contact no", "contact number",
    ),
    "account": (
        "account", "acct", "iban", "routing", "member", "membership", "customer id", "customer number",
        "user id", "policy number",
    ),
    "reference": (
        "booking", "confirmation", "reservation", "reference", "pnr", "order number", "order no",
        "order id", "order #", "my order", "tracking", "ticket number",
    ),
    "passport": (
        "passport",
    ),
    "plate": (
        "license plate", "plate number",
    ),
    "id": (
        "driver license", "drivers license", "driving licence", "national id",
    ),
    "secret": (
        "password", "passcode", "pwd", "pin", "security code", "verification code", "cvv", "cvc", "otp",
    ),
}  # fmt: skip
CUES = tuple((tuple(cue.split()), kind) for kind, cues in _ANNOUNCED.items() for cue in cues)
_NAMED = (
    "my name is", "my name", "my full name is", "the name is", "name is", "names", "i am called",
    "this is", "i am", "im", "name of", "name", "myself", "called", "sincerely", "regards",
)  # fmt: skip
NAME_CUES = tuple(tuple(cue.split()) for cue in _NAMED)
# After these a name is one only if no word of the language follows.
WEAK_NAME_CUES = frozenset({("this", "is"), ("i", "am"), ("im",), ("called",), ("name",), ("regards",)})
FILLERS = words_of(
    """
    actual and are as be code correct current ending for full here id in is it its key my name new no nos
    num number numbers of old on one please real the time was with word
    """
)
MONTHS = words_of(
    """
    apr april aug august dec december feb february jan january jul july jun june mar march may nov
    november oct october sep sept september
    """
)
AMOUNTS = words_of(
    """
    about am amount around bill budget cents cost costs day days dollar dollars eur euro euros expense
    expenses flight food gb gbp hotel hour hours inr items keyboards kg km mb miles minutes month months
    nd numbers only over passenger passengers pcs people percent person persons piece pieces pm pounds
    price qty quantity rd room rs rupees seat seats st th than ticket tickets total travel under units
    usd users week weeks year years
    """
)
# No names, and no codes: what people say to a support desk.
_SAID = words_of(
    """
    a able account actually add address afraid after again agent air airline airport all already also
    always an angry another answer any anything app area arrive at available aware away back bad bag
    baggage bags bank because been before being best better between big boarding book booked booking both
    bought business but buy by bye call calling can cancel cant card cash certain change charge charged
    chat check city class clear click close closed come coming company complete concern confirm
    confirmation confused contact could country credit currently customer date deal deliver delivered
    delivery depart departure details did didnt disappointed do does doesnt doing done dont down each
    easy economy edit either else email end enough error even ever every everything exactly excuse expect
    extra facing fail failed fare fast female file fill find fine first fix flights fly flying follow
    forgot forward friday from front frustrated further gave get getting give given glad go going good
    got great guess had hai happen happy has have having he hello help her hey hi him his hmm hold home
    hope how however hurry i if ill im inform information install installed interested into invoice issue
    issues item ive job just keep know last late later leave left less let lets like line link list
    little living locked log login long look looking lost lot luggage maam madam made mail make male many
    married matter me mean mention message middle mind mine minute miss missing model monday money more
    morning most move much must need needed never next nice night none not noted nothing now off offer
    office ok okay once online open or order other our out own package page paid part party pass passport
    pay payment pending phone pick place plan plane plate plus possible prefer pretty print problem
    process product provide purchase put question quick quickly quite rather read ready really reason
    receive received refund refuse regarding remember report request reservation reset return returned
    right round said same saturday saw say screen second see seem send sent service set she ship shipping
    should show single sir size slow so software some someone something soon sorry sounds speak start
    started status stay still stop store such sunday support sure system take taken talk team tell thank
    thanks thankyou that thats their them then there these they thing things think this those though
    thought through thursday till to today together told tomorrow tonight too took track travelling tried
    trip true try trying tuesday type unable understand unhappy until up update updated upgrade upset use
    used user using usually very via wait waiting want wanted way we website wednesday welcome well went
    were what whats when where whether which while who why wifi will window wish within without wont work
    working works worried would wow write writing wrong yeah yep yes yesterday yet you your youre yours
    """
)
COMMON = FILLERS | AMOUNTS | MONTHS | frozenset((*DIGITS, *TEENS, *TENS)) | _SAID
MAIL_HOSTS = words_of(
    """
    aol email foxmail gamil gmail gmal gmial gmx googlemail hotmail icloud live mail msn outlook proton
    protonmail qq reddif reddiffmail rediffmail yahoo yahoomail ymail
    """
)
TOP_LEVELS = words_of(
    """
    cn co com couk de edu in io net org uk us
    """
)
