"""Pages out of templates: escaped, in the reader's language, with addresses below wherever we are mounted."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from picktune.auth import Viewer
from picktune.pages.i18n import COOKIE, LANGUAGES, Translator, translator

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Language, Cookie",
}
_YEAR = 365 * 24 * 3600
_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    request: Request,
    template: str,
    *,
    viewer: Viewer | None,
    here: str = "",
    status: int = 200,
    **context: object,
) -> HTMLResponse:
    """One page. ``?lang=`` chooses its language and is remembered in a cookie for a year."""
    t = translator(request)
    base = base_of(request)
    html = _templates.get_template(template).render(
        t=t,
        viewer=viewer,
        csrf=(viewer.csrf or "") if viewer else "",
        here=here,
        base=base,
        url=lambda path: base + quote(path),
        static=lambda name: f"{base}/static/{name}",
        lang_url=lambda code: f"?{urlencode([*_query_without_lang(request), ('lang', code)])}",
        languages=LANGUAGES,
        language_tags={code: Translator(code).tag for code in LANGUAGES},
        **context,
    )
    response = HTMLResponse(html, status_code=status, headers=HEADERS)
    response.headers["Content-Language"] = t.tag
    if request.query_params.get("lang") in LANGUAGES:
        secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE, t.language, max_age=_YEAR, path=base or "/", samesite="lax", secure=secure, httponly=True
        )
    return response


def base_of(request: Request) -> str:
    """The path below which our routes lie, as the browser must say it.

    It comes from ``root_path``, which every mount lengthens, so that the pages work under any prefix and
    behind any proxy; it has no host in it, for a proxy may have changed that.
    """
    return quote(str(request.scope.get("root_path", "")).rstrip("/"))


def breakable(text: str) -> Markup:
    """Text, escaped, in which words of hundreds of letters may be broken; the breaks are no part of it.

    Without them a browser takes many seconds to lay out such a word; ``write`` in core.js does the same.
    """
    parts, done = [], 0
    for run in re.finditer(r"\S{200,}", text):
        parts.append(escape(text[done : run.start()]))
        piece, before = "", ""
        for character in run[0]:
            if len(piece) >= 60 and _is_easy(character) and unicodedata.category(before) != "Cf":
                parts += [escape(piece), Markup("<wbr>")]
                piece = ""
            piece += character
            before = character
        parts.append(escape(piece))
        done = run.end()
    return Markup("").join([*parts, escape(text[done:])])


def _is_easy(character: str) -> bool:
    # Neither inside a letter with its marks, nor where lines may be broken anyway.
    category = unicodedata.category(character)
    return character < "\u2e80" and (category[0] in "LNP" or category in {"Sm", "Sc"})


def html_lang(locale: str) -> str:
    """A conversation's locale as an HTML language tag."""
    return "zh-Hans" if locale in {"zh", "zh-CN", "zh_CN"} else locale.replace("_", "-")


def _query_without_lang(request: Request) -> list[tuple[str, str]]:
    # A sign-in token must not live on in the links of a page.
    return [
        (name, value) for name, value in request.query_params.multi_items() if name not in {"lang", "token"}
    ]


_templates.filters["breakable"] = breakable
