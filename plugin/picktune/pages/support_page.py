"""The support page: every comparison with its rate, its verdict, and what to do about it."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import get_args

from anyio import to_thread
from msgspec import field
from picktune_adapters import Aliases
from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer
from picktune.errors import AdapterError, InvalidInput, MissingExtra
from picktune.log import LogReader
from picktune.pages import charts, selection
from picktune.pages.desk import ask
from picktune.pages.i18n import Translator, translator
from picktune.pages.render import render
from picktune.records import AnnotatorRole, Decision, Record
from picktune.service import Service
from picktune.settings import Settings
from picktune.support import GROUPS as ALL_GROUPS
from picktune.support import Ranking, Share, Support, about, compare, contestants, rank
from picktune.supportquery import EVERYTHING, SupportQuery, selected
from picktune.supportsheet import sheet

ROWS = 20
WIDE = 0.3
TONES = {"success": "good", "great": "good", "weak": "warn", "harmful": "bad"}
GROUPS = ("week", "tag", "scenario", "locale", "annotator", "role", "arms")
BESIDE = ("ties", "none_good", "skipped", "shared", "incomplete", "repeated", "capped", "annotators")


class Line(Record, frozen=True, kw_only=True):
    """One line of a breakdown."""

    name: str
    n: int
    rate: float
    range: str = ""
    bar: charts.Bar | None = None


class Breakdown(Record, frozen=True, kw_only=True):
    """The rate by tag or annotator, or the picks by position."""

    kind: str
    rows: tuple[Line, ...]
    interval: bool = True
    note: str = ""


class Figure(Record, frozen=True, kw_only=True):
    """A curve with its words."""

    line: str
    band: str
    first: str
    last: str
    label: str


class Week(Record, frozen=True, kw_only=True):
    """A week of the trend with its words."""

    point: charts.Point
    label: str


class Trend(Record, frozen=True, kw_only=True):
    """The rate by week with its words."""

    line: str
    band: str
    weeks: tuple[Week, ...]
    promote_at: float
    marks: tuple[float, ...]
    label: str


class View(Record, frozen=True, kw_only=True):
    """One comparison, ready to be shown."""

    support: Support
    title: str
    subtitle: str
    model: str | None
    simulated: bool
    badge: str
    tone: str
    explanation: str
    advice: str
    outlook: str
    alike: str
    wins: str
    bar: charts.Bar | None
    scale_label: str
    curve: Figure | None
    trend: Trend | None
    figures: tuple[tuple[str, int], ...]
    breakdowns: tuple[Breakdown, ...]


class Found(Record, frozen=True, kw_only=True):
    """What the page shows of the decisions that were asked for, and the names to choose from."""

    views: tuple[View, ...] = ()
    ranking: Ranking | None = None
    ranking_missing: str = ""
    offered: dict[str, list[str]] = field(default_factory=dict)


class SupportPage:
    """``/support`` and ``/support.csv``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: Request, viewer: Viewer) -> Response:
        """The page. Comparisons in which nobody has decided anything are left out."""
        t = translator(request)
        settings = self._service.settings
        query, trouble, status = EVERYTHING, "", 200
        try:
            query = selection.asked(request.query_params)
        except InvalidInput as error:
            days = error.field in {"since", "until"}
            trouble, status = t("support.select_days") if days else error.message, error.status
        found = Found()
        if not trouble:
            aliases = await to_thread.run_sync(self._aliases)
            found = await ask(self._service, lambda reader: _found(reader, settings, query, aliases, t))
        return render(
            request,
            "support.html",
            status=status,
            trouble=trouble,
            query=selection.shown(query),
            address=selection.address(query),
            selected=query != EVERYTHING,
            offered=found.offered,
            roles=get_args(AnnotatorRole),
            ranking=found.ranking,
            ranking_missing=found.ranking_missing,
            viewer=viewer,
            here="support",
            views=found.views,
            simulated=any(view.simulated for view in found.views),
            confidence=1 - settings.alpha,
        )

    async def download(self, request: Request, viewer: Viewer) -> Response:
        """The same comparisons and every breakdown as CSV; raises ``InvalidInput``."""
        settings, query = self._service.settings, selection.asked(request.query_params)

        def read(reader: LogReader) -> bytes:
            decisions = selected(reader, settings, query)
            return sheet(
                compare(decisions, alpha=settings.alpha, annotator_cap=settings.annotator_cap), ALL_GROUPS
            )

        # Spreadsheets take a file that does not begin with this mark for one of another encoding.
        content = BOM_UTF8 + await ask(self._service, read)
        headers = {
            "Content-Disposition": 'attachment; filename="support.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

    def _aliases(self) -> Aliases:
        try:
            return self._service.registry.aliases()
        except AdapterError:
            # Rates can be read without knowing who is champion; the adapters page says what is wrong.
            return self._service.aliases


def _found(
    reader: LogReader, settings: Settings, query: SupportQuery, aliases: Aliases, t: Translator
) -> Found:
    decisions = list(selected(reader, settings, query))
    names = decisions if query == EVERYTHING else selected(reader, settings)
    supports = compare(decisions, alpha=settings.alpha, annotator_cap=settings.annotator_cap)
    ranking, missing = _ranking(decisions, settings)
    return Found(
        views=tuple(_view(one, decisions, settings, aliases, t) for one in supports if _has_any(one)),
        ranking=ranking,
        ranking_missing=missing,
        offered=selection.offered(names),
    )


def _ranking(decisions: list[Decision], settings: Settings) -> tuple[Ranking | None, str]:
    """The ranking where more than two compete, or how to get it; a rate says all there is of two."""
    if len({name for one in decisions for name in contestants(one)}) < 3:
        return None, ""
    try:
        return rank(decisions, alpha=settings.alpha, annotator_cap=settings.annotator_cap), ""
    except MissingExtra as error:
        return None, error.message


def _has_any(one: Support) -> bool:
    return any(
        (one.n, one.ties, one.none_good, one.skipped, one.shared, one.incomplete, one.repeated, one.capped)
    )


def _view(
    one: Support, decisions: list[Decision], settings: Settings, aliases: Aliases, t: Translator
) -> View:
    kind = _kind(one, aliases)
    if one.model is None and one.n:
        ending = _fairness(one)
        badge, tone = t(f"aa.name_{ending}"), {"ok": "good", "bad": "bad"}.get(ending, "")
        explanation, advice = t(f"aa.explanation_{ending}"), t(f"aa.advice_{ending}")
    else:
        badge, tone = t(f"verdict.{one.verdict}.name"), TONES.get(one.verdict, "")
        explanation, advice = t(f"verdict.{one.verdict}.explanation"), t(f"verdict.{one.verdict}.advice")
        if kind == "champion" and one.verdict in {"weak", "success", "great"}:
            advice = t("support.keep_champion")
        if kind == "former":
            advice = t("support.former_advice")
    words = {"rate": t.percent(one.rate), "low": t.percent(one.low), "high": t.percent(one.high)}
    figure = charts.curve(
        decisions, model=one.model, alpha=settings.alpha, annotator_cap=settings.annotator_cap
    )
    drawn = None
    if figure is not None:
        ends = t.moment(figure.first), t.moment(figure.last)
        label = t("support.curve_label", first=ends[0], last=ends[1], **words)
        first, last = t.span(figure.first, figure.last)
        drawn = Figure(line=figure.line, band=figure.band, first=first, last=last, label=label)
    return View(
        support=one,
        title=t(f"support.{kind}"),
        subtitle=t(f"support.{kind}_text"),
        model=one.model,
        simulated=one.simulated,
        badge=badge,
        tone=tone,
        explanation=explanation,
        advice=advice,
        outlook=_outlook(one, t),
        alike=_alike(one, t),
        wins=t.number(one.wins),
        bar=charts.bar(one),
        scale_label=t("support.scale_now", **words) if one.n else t("support.scale_label"),
        curve=drawn,
        trend=_trend(one, settings.gate.promote_at, t),
        figures=tuple(
            (name, getattr(one, name)) for name in BESIDE if getattr(one, name) or name in BESIDE[:3]
        ),
        breakdowns=_breakdowns(one, t),
    )


def _trend(one: Support, promote_at: float, t: Translator) -> Trend | None:
    found = charts.trend(one.by_week)
    if found is None:
        return None
    shares = {share.name: share for share in one.by_week}
    weeks = tuple(
        Week(point=point, label=f"{point.name}: {_of_week(shares[point.name], t)}") for point in found.points
    )
    return Trend(
        line=found.line,
        band=found.band,
        weeks=weeks,
        promote_at=promote_at,
        # Where the bar stands close to another mark, its own is the one to be read.
        marks=(0.0, *(mark for mark in (0.5, 1.0) if abs(mark - promote_at) >= 0.1), promote_at),
        label=t("support.trend_label", first=weeks[0].label, last=weeks[-1].label),
    )


def _of_week(share: Share, t: Translator) -> str:
    figures = {"rate": t.percent(share.rate), "low": t.percent(share.low), "high": t.percent(share.high)}
    return t("support.week_text", choices=share.n, **figures)


def _fairness(one: Support) -> str:
    """Of a model against itself: ``bad`` if the interval has left 50 %, ``early`` while it is wide."""
    if not one.low <= 0.5 <= one.high:
        return "bad"
    return "ok" if one.high - one.low <= WIDE else "early"


def _kind(one: Support, aliases: Aliases) -> str:
    if one.model is None:
        return "aa"
    if one.model == aliases.challenger:
        return "challenger"
    return "champion" if one.model == aliases.champion else "former"


def _breakdowns(one: Support, t: Translator) -> tuple[Breakdown, ...]:
    found = [
        Breakdown(kind=kind, rows=_lines(getattr(one, f"by_{kind}"), t, by_name=kind == "week"))
        for kind in GROUPS
    ]
    bias = one.position_bias
    total = sum(bias.counts)
    if total:
        lines = tuple(
            Line(name=t("support.position_n", n=place), n=count, rate=count / total)
            for place, count in enumerate(bias.counts, 1)
        )
        note = t("support.position_note")
        if bias.p_value is not None:
            note += " " + t("support.position_p", p=f"{bias.p_value:.2g}")
        found.append(Breakdown(kind="position", rows=lines, interval=False, note=note))
    return tuple(breakdown for breakdown in found if breakdown.rows)


def _outlook(one: Support, t: Translator) -> str:
    """How many more picks an undecided comparison takes; nothing if there is nothing to say."""
    if one.forecast is None:
        return ""
    low = t.number(about(one.forecast.low))
    if one.forecast.high is None:
        return t("support.outlook_open", n=about(one.forecast.picks), low=low)
    return t("support.outlook", n=about(one.forecast.picks), low=low, high=t.number(about(one.forecast.high)))


def _alike(one: Support, t: Translator) -> str:
    """What the clusters take from the picks; nothing if it is less than a tenth."""
    clusters = one.clustering
    if clusters.design_effect < 1.1:
        return ""
    return t(
        "support.alike",
        picks=one.n,
        conversations=clusters.conversations,
        annotators=clusters.annotators,
        effective=round(clusters.effective),
    )


def _lines(shares: tuple[Share, ...], t: Translator, *, by_name: bool = False) -> tuple[Line, ...]:
    """The groups with most choices, those first; or, as for weeks, the last ones in their own order."""
    if by_name:
        most = list(shares[-ROWS:])
    else:
        most = sorted(shares, key=lambda share: (-share.n, share.name))[:ROWS]
    return tuple(
        Line(
            name=share.name,
            n=share.n,
            rate=share.rate,
            range=t("support.from_to", low=t.percent(share.low), high=t.percent(share.high)),
            bar=charts.bar(share),
        )
        for share in most
    )
