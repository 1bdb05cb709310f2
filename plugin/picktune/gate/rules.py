"""The rules: from how champion and challenger stand to what should happen. Pure, no input or output."""

from __future__ import annotations

from picktune.gate.records import GateSettings, Proposal, Standing, View

EVEN = 0.5


def propose(view: View, rules: GateSettings) -> Proposal:
    """The one thing that should happen now; harm comes first, and ``hold`` says what is waited for."""
    if view.frozen is not None:
        return Proposal(action="hold", reason=f"the gate is frozen: {view.frozen}")
    champion, challenger = view.champion, view.challenger
    if champion is not None and champion.high < EVEN:
        return Proposal(
            action="rollback",
            adapter=champion.adapter,
            reason=f"its support is surely below 50 % since it became champion: {said(champion)}",
        )
    if challenger is None:
        who = "no adapter is on trial"
        return Proposal(action="hold", reason=who if champion is None else f"{who}; {said(champion)}")
    if challenger.high < EVEN:
        return Proposal(
            action="withdraw",
            adapter=challenger.adapter,
            reason=f"its support is surely below 50 %: {said(challenger)}",
        )
    return _trial(view, challenger, rules)


def worse(*, rate: float, high: float, n: int, rules: GateSettings) -> bool:
    """Whether a protected tag got worse: surely, or by its rate once there are enough picks."""
    return high < EVEN or (n >= rules.tag_picks and rate < EVEN)


def passes(standing: Standing, rules: GateSettings) -> bool:
    """Whether people's picks would make it champion: the rate is high enough, and surely above 50 %."""
    enough = standing.wins >= rules.promote_at * standing.n - 1e-9
    return standing.n > 0 and enough and standing.low > EVEN


def said(standing: Standing) -> str:
    """Rate, interval and picks in a few words."""
    if standing.rate is None:
        return "no pick counted yet"
    return (
        f"{standing.rate:.1%} of {standing.n} picks, {standing.low:.1%} to {standing.high:.1%} "
        f"with {1 - standing.alpha:.0%} confidence"
    )


def _trial(view: View, challenger: Standing, rules: GateSettings) -> Proposal:
    name, steps = challenger.adapter, rules.canary
    if steps and view.share is None:
        return Proposal(
            action="begin",
            adapter=name,
            share=steps[0],
            reason=f"its trial begins: it takes the tuned place in {steps[0]:.0%} of new conversations",
        )
    share = 1.0 if not steps or view.share is None else view.share
    further = [one for one in steps if one > share]
    if further and view.n < rules.step_picks:
        return Proposal(
            action="hold",
            adapter=name,
            share=share,
            reason=f"{view.n} of {rules.step_picks} picks counted at the canary share of {share:.0%}; "
            f"in all {said(challenger)}",
        )
    if challenger.worse_tags and (further or passes(challenger, rules)):
        tags = "; ".join(
            f"{one.tag!r} has {one.rate:.1%} of {one.n} picks, {one.low:.1%} to {one.high:.1%}"
            for one in challenger.tags
            if one.worse
        )
        return Proposal(
            action="block",
            adapter=name,
            share=share,
            reason=f"a protected tag got worse: {tags}; in all {said(challenger)}",
        )
    if further:
        return _grow(view, challenger, share, further[0])
    if passes(challenger, rules):
        return Proposal(
            action="promote",
            adapter=name,
            reason=f"at least {rules.promote_at:.0%}, and surely above 50 %: {said(challenger)}",
        )
    return Proposal(
        action="hold",
        adapter=name,
        share=share,
        reason=f"not {rules.promote_at:.0%} with a lower bound above 50 % yet: {said(challenger)}",
    )


def _grow(view: View, challenger: Standing, share: float, larger: float) -> Proposal:
    if (challenger.rate or 0.0) < EVEN:
        return Proposal(
            action="hold",
            adapter=challenger.adapter,
            share=share,
            reason=f"stays at the canary share of {share:.0%} while its rate is below 50 %: "
            f"{said(challenger)}",
        )
    return Proposal(
        action="step",
        adapter=challenger.adapter,
        share=larger,
        reason=f"{view.n} picks at {share:.0%} show no harm, so it takes the tuned place in {larger:.0%} of "
        f"new conversations: {said(challenger)}",
    )
