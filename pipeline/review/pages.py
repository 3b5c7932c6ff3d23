"""Self-contained pages: templates, the policy that allows their own style and script, escaping."""

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PAGES = Environment(
    loader=PackageLoader("pipeline.review", "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def render_page(template: str, *, script: str, connects: str = "", **values: Any) -> str:
    """A page whose policy allows its own style and script, by their digests, and nothing else.

    script: name of its JavaScript. connects: what the script may fetch, as a source of the policy.
    """
    style, code = page_part("report.css"), page_part(script)
    policy = (
        f"default-src 'none'; img-src data:{' ' + connects if connects else ''}; style-src {_csp_digest(style)}; "
        f"script-src {_csp_digest(code)}; base-uri 'none'; form-action 'none'"
    )
    if connects:
        policy += f"; connect-src {connects}"
    # the policy is our own text: its quotes must stay quotes
    return _PAGES.get_template(template).render(style=style, script=code, policy=Markup(policy), **values)


def page_part(name: str) -> Markup:
    """Part of a page from this package, which is not escaped."""
    loader = _PAGES.loader
    if loader is None:
        raise LookupError(name)
    return Markup(loader.get_source(_PAGES, name)[0])


def _csp_digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
