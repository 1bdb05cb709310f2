"""What else can be learned from decisions: pairs (DPO), single reactions (KTO), demonstrations (NLL).

Pure functions of tensors, beside the choice likelihood in ``choice``. All log-probabilities are in nats,
summed over a reply's tokens, its end of turn included, and of shape [N], one a reply; losses have their type.
Importing this does not import torch; using it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from picktune.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
    tokens: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """−(1−ε) log σ(β Δ) − ε log σ(−β Δ) of each pair, [N]; Δ = (log π_θ/π_ref)(y_w) − (log π_θ/π_ref)(y_l).

    Without ``label_smoothing`` (ε): Rafailov et al. 2023, *Direct Preference Optimization*, eq. 7; with it:
    Mitchell 2023, *A note on DPO with noisy preferences & relationship to IPO*, eq. 3 (conservative DPO).
    ``tokens``, the lengths of the chosen and of the rejected replies [N], normalises both ratios by length as
    in Lambert et al. 2024, *Tülu 3*, section 5.1.2; it is off unless given. Raises ``InvalidInput`` if shapes
    differ, ε is not in [0, 1/2) or a length is not positive.
    """
    _alike(policy_chosen, policy_rejected, reference_chosen, reference_rejected, *(tokens or ()))
    if not 0.0 <= label_smoothing < 0.5:
        raise InvalidInput(
            f"a label smoothing of {label_smoothing:g} would prefer the rejected reply; use 0 to below 0.5",
            field="label_smoothing",
        )
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    if tokens is not None:
        chosen, rejected = chosen / _positive(tokens[0]), rejected / _positive(tokens[1])
    margin = beta * (chosen - rejected)
    loss = -_log_sigmoid(margin)
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing * _log_sigmoid(-margin)
    return loss


def kto_loss(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """λ_D (1 − σ(β (r − z))) of each reply that was liked, λ_U (1 − σ(β (z − r))) of the others, [N].

    r = log π_θ(y|x) − log π_ref(y|x); ``desirable`` is bool [N]; z, the ``reference_point``, is a number
    without gradient, see ``kl_reference_point``. Ethayarajh et al. 2024, *KTO: Model Alignment as Prospect
    Theoretic Optimization* (arXiv 2402.01306v1), eq. 7. Raises ``InvalidInput`` if shapes differ.
    """
    _alike(policy, reference, desirable)
    sign = desirable.to(policy.dtype) * 2.0 - 1.0
    weight = (sign > 0) * desirable_weight + (sign < 0) * undesirable_weight
    gain = sign * (policy - reference - reference_point.detach())
    return weight * (-beta * gain).sigmoid()


def kl_reference_point(policy: Tensor, reference: Tensor) -> Tensor:
    """max(0, mean of log π_θ(y'|x) − log π_ref(y'|x)) over replies y' to other prompts: a number, detached.

    The estimate of the reference point of ``kto_loss``, β KL(π_θ ‖ π_ref), by β. ``mismatched`` says which
    reply goes with which prompt.
    """
    _alike(policy, reference)
    return (policy - reference).mean().clamp(min=0.0).detach()


def mismatched(replies: Sequence[T]) -> list[T]:
    """The replies of a batch moved on by one place, so that each stands beside the next one's prompt."""
    return [*replies[-1:], *replies[:-1]]


def nll_loss(policy: Tensor, tokens: Tensor) -> Tensor:
    """−Σ log π_θ(y|x) / Σ |y| over all demonstrations: nats a token, a number.

    The likelihood of what a person wrote or corrected, given its prompt; every token weighs the same, as in
    supervised fine-tuning (Ouyang et al. 2022, *Training language models to follow instructions with human
    feedback*, section 3.5), so that long replies weigh more. Raises ``InvalidInput`` if shapes differ or a
    length is not positive.
    """
    _alike(policy, tokens)
    return -policy.sum() / _positive(tokens).sum()


def _alike(*tensors: Tensor) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise InvalidInput(f"one value for each of the same N > 0 replies is wanted, shape [N]; got {shapes}")


def _positive(tokens: Tensor) -> Tensor:
    if not bool((tokens > 0).all()):
        raise InvalidInput("a reply has at least the token that ends it; got one of length 0", field="tokens")
    return tokens


def _log_sigmoid(x: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(x)
