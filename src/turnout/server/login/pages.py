"""The two pages of sign-in: without script, style, or anything from elsewhere. Floor 6."""

from html import escape
from typing import Final

from turnout.server.http import RawHeaders

HEADERS: Final[RawHeaders] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_HEAD: Final = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Turnout</title>'


def onward(path: str) -> bytes:
    """Write the page that goes on by itself.

    A redirect would still count as coming from the provider's site, and the browser would keep the session's
    cookie (`SameSite=Strict`) to itself; a page that goes on is ours.
    """
    to = escape(path, quote=True)
    text = f'{_HEAD}<meta http-equiv="refresh" content="0; url={to}"></head>'
    return f'{text}<body><p>Signed in. <a href="{to}">Go on</a></p></body></html>'.encode()


def refused(message: str, request_id: str) -> bytes:
    """Write the page that says why nobody was signed in."""
    said = f"<p>Not signed in: {escape(message)}.</p><p>Request {escape(request_id)}</p>"
    return f'{_HEAD}</head><body>{said}<p><a href="/auth/login">Try again</a></p></body></html>'.encode()
