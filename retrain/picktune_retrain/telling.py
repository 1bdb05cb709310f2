"""What a webhook hears of a night: how it ended, and the figures that this rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picktune.records import utc_now

from picktune_retrain.plan import Summary

if TYPE_CHECKING:
    from picktune.notify import Outcome
    from picktune.settings import Settings

OUTCOMES: dict[int, Outcome] = {
    Summary.ADMITTED: "admitted",
    Summary.FAILED: "failed",
    Summary.NOTHING_TO_DO: "nothing_to_do",
    Summary.NOT_ADMITTED: "not_admitted",
}
_WORDS = {
    "admitted": "a new challenger",
    "failed": "failed",
    "nothing_to_do": "nothing to do",
    "not_admitted": "not admitted",
}


def tell_webhooks(settings: Settings, ended: Summary) -> list[str]:
    """Tell the webhooks that want to hear of such an end; what went wrong, in sentences.

    Customers' words, replies and annotators' names are not part of it.
    """
    outcome = OUTCOMES[ended.exit_code]
    notify = settings.notify
    if not notify.urls or outcome not in notify.on:
        return []
    from picktune.notify import body, deliver

    text = f"Picktune, last night: {_WORDS[outcome]}. {ended.message}"
    return deliver(notify, body(f"nightly.{outcome}", text, utc_now(), _details(ended)))


def _details(ended: Summary) -> dict[str, Any]:
    dataset, evaluation = ended.dataset, ended.evaluation
    return {
        "exit_code": ended.exit_code,
        "night": ended.night,
        "adapter": ended.adapter.name if ended.adapter else None,
        "replaced": ended.replaced,
        "dataset": dataset.id if dataset else None,
        "picks": dataset.counts if dataset else None,
        "simulated": dataset.simulated if dataset else None,
        "evaluation": evaluation,
        "reasons": ended.decision.reasons if ended.decision else (),
        "report": ended.report,
        "training_seconds": ended.training_seconds,
        "answers": ended.answers,
    }
