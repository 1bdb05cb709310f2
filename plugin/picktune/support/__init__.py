"""The support rate: how often people, who cannot know, pick the tuned model's reply over the base's.

Of the complete slates on which somebody chose one reply, the share in which it was the tuned arm's, where
both arms showed equally many. 50 % is chance. Everything else is counted beside it; see docs/support-rate.md.
"""

from picktune.support.answers import (
    ABOUT_HALF,
    Clustering,
    Forecast,
    PositionBias,
    Share,
    Support,
    SupportVerdict,
    verdict,
)
from picktune.support.clusters import Clustered
from picktune.support.counting import Bin, counted
from picktune.support.groups import GROUPS, shares, simultaneous, week
from picktune.support.outlook import about, forecast
from picktune.support.positions import position_bias
from picktune.support.ranking import Ranked, Ranking, contestants, rank
from picktune.support.rate import compare, support_rate
from picktune.support.selecting import only
from picktune.support.sequence import MIXTURE, false_alarm, interval, log_martingale

__all__ = [
    "ABOUT_HALF",
    "GROUPS",
    "MIXTURE",
    "Bin",
    "Clustered",
    "Clustering",
    "Forecast",
    "PositionBias",
    "Ranked",
    "Ranking",
    "Share",
    "Support",
    "SupportVerdict",
    "about",
    "compare",
    "contestants",
    "counted",
    "false_alarm",
    "forecast",
    "interval",
    "log_martingale",
    "only",
    "position_bias",
    "rank",
    "shares",
    "simultaneous",
    "support_rate",
    "verdict",
    "week",
]
