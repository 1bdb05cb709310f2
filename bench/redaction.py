"""How much of the personal data in MultiDoGO the redaction finds, by kind, and how often it finds too much.

    python bench/redaction.py ../shared/data/multidogo --cards 1000

MultiDoGO's files have no card numbers. Those that are reported are SYNTHETIC: so many mentions for each half,
made up by ``cards.py`` with a seed of their own, in sentences of which one half was looked at.

The rules were written looking at one half of the conversations only (by a hash of their ids); the other half
is the one that counts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from cards import SEED, mentions
from picktune.redaction import Redactor
from picktune.redaction.redactor import RuleRedactor, create_redactor

# The gold slots that are personal data, by the names under which they are reported.
PERSONAL = {
    "phone_number": "phone",
    "credit_card_number": "card",
    "card_number": "card",
    "account_number": "account",
    "booking_confirmation_number": "booking",
    "email_address": "email",
    "password": "password",
    "name": "name",
    "address": "address",
    "ssn": "ssn",
}
MUST_REACH = ("phone", "card", "account")
# Four in ten account numbers follow a name; what the annotators call a firm's is not always one.
ALSO_PERSONAL = {"company_name"}

Turn = tuple[str, list[str], list[str]]


def turns(file: Path) -> Iterator[Turn]:
    """Conversation id, words and labels of each annotated turn; turns whose words and labels differ in
    number are left out."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            words, labels = (row["utterance"] or "").split(" "), (row["slot-labels"] or "").split(" ")
            if len(words) == len(labels):
                yield row["conversationId"], words, labels


def held_out(conversation: str) -> bool:
    """Whether the rules were written without looking at this conversation."""
    return hashlib.sha256(conversation.encode()).digest()[0] % 2 == 1


def measure(redactor: Redactor, found: Iterator[Turn]) -> dict[str, object]:
    """Slots and found slots by kind; turns, and those in which something else was redacted."""
    slots, hits = Counter[str](), Counter[str]()
    count = false = 0
    examples: dict[str, list[str]] = defaultdict(list)
    for _, words, labels in found:
        text = " ".join(words)
        covered = {place for one in redactor.find(text) for place in range(one.start, one.end)}
        wrong, at, begun = False, 0, 0
        while at < len(words):
            after = at + 1
            while labels[at] != "O" and after < len(words) and labels[after] == labels[at]:
                after += 1
            length = len(" ".join(words[at:after]))
            places = [p for p in range(begun, begun + length) if text[p] != " "]
            inside = sum(place in covered for place in places)
            kind = PERSONAL.get(labels[at])
            if kind is not None:
                slots[kind] += 1
                if inside == len(places):
                    hits[kind] += 1
                else:
                    examples[f"missed {kind}"].append(text)
            elif inside and labels[at] not in ALSO_PERSONAL:
                wrong = True
            begun += length + 1
            at = after
        count += 1
        false += wrong
        if wrong:
            examples["false"].append(text)
    return {"slots": slots, "hits": hits, "turns": count, "false": false, "examples": examples}


def measure_cards(redactor: Redactor, count: int, *, wanted: bool) -> dict[str, dict[str, list[int]]]:
    """Synthetic mentions, those whose every digit is redacted, and those of them that are called a card, by
    language and by spelling."""
    counts: dict[str, dict[str, list[int]]] = {"en": {}, "zh": {}}
    for one in mentions(count, held_out=wanted):
        kinds = {
            place: found.kind for found in redactor.find(one.text) for place in range(found.start, found.end)
        }
        digits = [kinds.get(place) for place in range(one.start, one.end) if one.text[place].isalnum()]
        row = counts[one.language].setdefault(one.spelling, [0, 0, 0])
        row[0] += 1
        row[1] += None not in digits
        row[2] += set(digits) == {"card"}
    return counts


def print_cards(counts: dict[str, dict[str, list[int]]]) -> dict[str, object]:
    """A table of them; the line for JSON."""
    rows = {(language, spelling): row for language, each in counts.items() for spelling, row in each.items()}
    total, found, called = (sum(column) for column in zip(*rows.values(), strict=True))
    print(f"card numbers, SYNTHETIC ({total:,} mentions made up by the bench; none is from MultiDoGO)")
    print(f"{'spelling':<29}{'made up':>8}{'found':>7}{'recall':>8}{'as card':>9}")
    for (language, spelling), (made, hit, card) in rows.items():
        print(f"{language} {spelling:<26}{made:>8}{hit:>7}{hit / made:>8.3f}{card / made:>9.3f}")
    print(f"{'all':<29}{total:>8}{found:>7}{found / total:>8.3f}{called / total:>9.3f}")
    recalls = {
        language: round(sum(row[1] for row in each.values()) / sum(row[0] for row in each.values()), 3)
        for language, each in counts.items()
    }
    return {
        "synthetic": True,
        "mentions": total,
        "seed": SEED,
        "recall": round(found / total, 3),
        "recall_by_language": recalls,
        "called_card": round(called / total, 3),
    }


def main() -> None:
    """Print a table for each half, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder with the .tsv files of MultiDoGO")
    parser.add_argument(
        "--cards", type=int, default=1000, metavar="N", help="synthetic card mentions for each half (1000)"
    )
    parser.add_argument("--show", metavar="WHAT", help="print what was wrong in the half that was looked at")
    parser.add_argument("--rules-only", action="store_true", help="without argus-redact")
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.tsv"))
    if not files:
        parser.error(f"no .tsv files in {arguments.folder}")
    if arguments.cards < 100:
        parser.error("--cards must be at least 100, or some spelling comes up too seldom to count")
    redactor = RuleRedactor() if arguments.rules_only else create_redactor()
    everything = [turn for file in files for turn in turns(file)]
    line: dict[str, object] = {"files": [file.name for file in files]}
    for half, wanted in (("looked at", False), ("held out", True)):
        begun = time.perf_counter()
        result = measure(redactor, (one for one in everything if held_out(one[0]) is wanted))
        seconds = time.perf_counter() - begun
        slots, hits = result["slots"], result["hits"]
        count, false = result["turns"], result["false"]
        print(f"\n{half}: {count:,} turns, {false} with a false alarm ({false / count:.2%})")  # type: ignore
        print(f"{'kind':<12}{'slots':>7}{'found':>7}{'recall':>8}")
        for kind in sorted(set(PERSONAL.values())):
            total = slots[kind]  # type: ignore[index]
            recall = f"{hits[kind] / total:.3f}" if total else "none"  # type: ignore[index]
            print(f"{kind:<12}{total:>7}{hits[kind]:>7}{recall:>8}")  # type: ignore[index]
        made_up = print_cards(measure_cards(redactor, arguments.cards, wanted=wanted))
        if arguments.show and not wanted:
            for text in result["examples"].get(arguments.show, []):  # type: ignore[attr-defined]
                print("   ", text)
        if wanted:
            line |= {
                "turns": count,
                "false_alarm_turns": round(false / count, 4),  # type: ignore[operator]
                "recall": {
                    kind: round(hits[kind] / slots[kind], 3) if slots[kind] else None  # type: ignore[index]
                    for kind in sorted(set(PERSONAL.values()))
                },
                "card_synthetic": made_up,
                "turns_a_second": round(count / seconds),  # type: ignore[operator]
            }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
