"""Why the gate decided what it did, in the reader's language, out of the figures that are kept with it."""

from __future__ import annotations

from picktune.gate.records import GateDecision, Standing, TagStanding
from picktune.gate.rules import propose
from picktune.pages.i18n import Translator


def because(decision: GateDecision, t: Translator) -> str:
    """The reason of a decision: what a person wrote, as it is; the gate's own out of its figures.

    The rules say of each action one thing, so action and figures are all of it. A decision by rules that
    said something else, as an earlier version's may have, keeps the words that were stored.
    """
    view, rules = decision.figures.view, decision.figures.rules
    again = propose(view, rules)
    kept = (decision.action, decision.adapter, decision.reason)
    if decision.by != "gate" or (again.action, again.adapter, again.reason) != kept:
        return decision.reason
    standing = view.champion if decision.action == "rollback" else view.challenger
    if standing is None or not t.has(f"gate.why_{decision.action}"):
        return decision.reason
    between = "；" if t.language == "zh" else "; "
    figures = {
        "said": _said(standing, t),
        "picks": view.n,
        "before": t.percent(view.share),
        "share": t.percent(decision.share),
        "least": t.percent(rules.promote_at),
        "tags": between.join(_tag(one, t) for one in standing.tags if one.worse),
    }
    return t(f"gate.why_{decision.action}", **figures)


def _said(standing: Standing, t: Translator) -> str:
    if standing.rate is None:
        return t("gate.no_picks")
    return t(
        "gate.said",
        rate=t.percent(standing.rate, 1),
        picks=standing.n,
        low=t.percent(standing.low, 1),
        high=t.percent(standing.high, 1),
        confidence=t.percent(1 - standing.alpha),
    )


def _tag(one: TagStanding, t: Translator) -> str:
    figures = {"rate": t.percent(one.rate, 1), "low": t.percent(one.low, 1), "high": t.percent(one.high, 1)}
    return t("gate.said_tag", tag=one.tag, picks=one.n, **figures)
