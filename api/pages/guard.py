"""Who may come in and what the browser may do: sessions, same-origin posts, response headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.pages.view import PageConfig, PageDeps, User

SESSION_COOKIE = "xitai_session"


class SignInNeeded(Exception):
    """Answered by a redirect to the sign-in page, or by a header htmx follows."""


class ForeignPost(Exception):
    """A form that was not ours: answered as 403."""


async def current_user(request: Request, deps: PageDeps) -> User | None:
    token = request.cookies.get(SESSION_COOKIE)
    return await deps.user_for(token) if token else None


async def staff(request: Request, deps: PageDeps) -> User:
    user = await current_user(request, deps)
    if user is None:
        raise SignInNeeded
    return user


def same_origin(request: Request) -> None:
    """Refuse a post another site made the browser send.

    Sec-Fetch-Site cannot be forged by a page and survives proxies that rewrite Host; browsers too
    old for it send Origin on posts, and WebViews that leave even that out send Referer. A post
    that shows none of them is refused.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site == "same-origin":
            return
        raise ForeignPost
    source = request.headers.get("origin") or request.headers.get("referer")
    if source is None or urlsplit(source).netloc != request.headers.get("host"):
        raise ForeignPost


def own_path(back: str) -> str:
    """Where to go back to, never off this site."""
    parts = urlsplit(back)
    if parts.scheme or parts.netloc or not back.startswith("/") or back.startswith(("//", "/\\")):
        return "/"
    return back


def set_session(response: Response, token: str, max_age_s: int, config: PageConfig) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=max_age_s,
        httponly=True,
        samesite="lax",
        secure=config.secure_cookies,
        path="/",
    )


def seal(response: Response, config: PageConfig, nonce: str, *, private: bool) -> None:
    """Headers every page carries. `nonce` lets the player's shadow styles in, nothing else."""
    media = " ".join(config.media_origins)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "img-src": f"'self' data: blob: {media}",
        "media-src": f"'self' blob: {media}",
        "connect-src": f"'self' {media}",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
    }
    response.headers["content-security-policy"] = "; ".join(
        f"{name} {value.strip()}" for name, value in policy.items()
    )
    response.headers["x-content-type-options"] = "nosniff"
    response.headers["referrer-policy"] = "same-origin"
    response.headers["cache-control"] = "no-store" if private else "no-cache"
