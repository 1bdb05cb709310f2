"""Policies: which arms speak, and how many replies each gives."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from picktune_adapters import Aliases

from picktune.errors import InvalidInput
from picktune.records import Arm, Record, Sampling

Count = Annotated[int, Meta(ge=0, le=16)]


class Policy(Record, frozen=True, kw_only=True):
    """How many replies the base and the tuned arm give; with ``randomised``, one of the two gives one.

    Without any adapter the tuned arm's place is taken by the base under the name ``base-b``: an A/A
    comparison, whose picks train the first adapter and whose support rate is the noise floor.
    """

    name: str
    base: Count
    tuned: Count
    randomised: bool = False

    def __post_init__(self) -> None:
        if not self.base + self.tuned:
            raise InvalidInput(f"policy {self.name!r} draws no reply; ask at least one arm", field="policy")

    @property
    def size(self) -> int:
        """How many candidates a complete slate of this policy has."""
        return 1 if self.randomised else self.base + self.tuned


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="2+2", base=2, tuned=2),
        Policy(name="1+1", base=1, tuned=1),
        Policy(name="1", base=1, tuned=1, randomised=True),
        Policy(name="base", base=4, tuned=0),
    )
}


def policy_named(name: str) -> Policy:
    """The built-in policy of that name; raises ``InvalidInput``, naming the known ones."""
    try:
        return POLICIES[name]
    except KeyError:
        raise InvalidInput(
            f"no policy named {name!r}; choose one of {', '.join(POLICIES)}", field="policy"
        ) from None


def arms_of(policy: Policy, aliases: Aliases, sampling: Sampling) -> list[tuple[Arm, int]]:
    """The arms of a slate with how many replies each gives: the challenger is preferred to the champion."""
    base = Arm(name="base", kind="base", sampling=sampling)
    if aliases.challenger:
        tuned = Arm(name="challenger", kind="challenger", model=aliases.challenger, sampling=sampling)
    elif aliases.champion:
        tuned = Arm(name="champion", kind="champion", model=aliases.champion, sampling=sampling)
    else:
        tuned = Arm(name="base-b", kind="base", sampling=sampling)
    return [(arm, count) for arm, count in ((base, policy.base), (tuned, policy.tuned)) if count]
