"""Removes keys, tokens and control characters from text that people may see."""
from __future__ import annotations

import re
from collections.abc import Iterable

_HIDDEN = "…redacted"
# Of C0 and C1, all but tab and line feed: a terminal obeys what begins with ESC or U+009B, and CR or BS overwrite text.
# So do marks of direction, which turn around what stands beside them.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Over-redaction is harmless, a leak is not: a prefix that names a mode needs no boundary before it, because a key may
# follow a percent-escape (`%22sk_live_`) or be glued to a word.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), shown)
    for pattern, shown in (
        (r"(://)[^\s/@]+@", r"\1…redacted@"),  # user and password of a proxy
        (
            r"((?:sk|rkcs|rk|pk|ek|uk)_(?:org_)?(?:live|test)_|sk_org_(?!(?:live|test)_…)|whsec_)(?:[\w*%•-]|\.(?=[\w*•])|…(?!redacted))+",
            rf"\1{_HIDDEN}",
        ),
        (r"(?<![A-Za-z0-9])((?:sk|rkcs|rk|pk|ek|uk|rt|ac)_)(?!live_|test_|org_)[A-Za-z0-9*]{10,}", rf"\1{_HIDDEN}"),
        (r"(?i)\b(bearer|basic)\s+(?=\S*[\d_*=])[\w.~+/=*-]{6,}", rf"\1 {_HIDDEN}"),
        (r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?)(?!bearer|basic)[^\s'\",}]+", rf"\1{_HIDDEN}"),
        (r"(?i)\b((?:access_token|refresh_token|client_secret|api_key)['\"]?\s*[:=]\s*['\"]?)(?!sk_|rk)[^\s'\"&,}]{6,}",
         rf"\1{_HIDDEN}"),
    )
)


def without_controls(text: str) -> str:
    """Text that a terminal prints, and obeys nothing of: U+FFFD in place of control characters.

    >>> without_controls("\x1b[2Jgone")
    '\ufffd[2Jgone'
    """
    return CONTROL_CHARACTERS.sub("\ufffd", text)


def _hidden(secret: str) -> str:
    """What stands in the place of a secret: its prefix stays, where all of it is a key."""
    return next((pattern.sub(shown, secret) for pattern, shown in _SECRETS if pattern.fullmatch(secret)), _HIDDEN)


def redact(text: object, secrets: Iterable[str] = ()) -> str:
    """`text` without control characters, and without what looks like a key or token, of which only the prefix stays.

    Args:
        text: what came from Stripe, an exception or a user; not only str, since exceptions come as they are.
        secrets: values known to be secret, whatever they look like.

    >>> redact("Invalid API Key provided: sk_test_****1234")
    'Invalid API Key provided: sk_test_…redacted'
    """
    clean = str(text)
    for secret in sorted(secrets, key=len, reverse=True):  # before patterns, which may match a part and leave the rest
        if len(secret) >= 4:
            clean = re.sub(re.escape(secret) + r"[\w*•]*", _hidden(secret).replace("\\", r"\\"), clean)
    for pattern, shown in _SECRETS:
        clean = pattern.sub(shown, clean)
    return without_controls(clean)
