"""Keys: what they say, which are refused, and that they are seen nowhere but in the request."""
from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientError, web
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import BODY, KEY, Reply, client_of, run, serving

from stripe_source.api.client import Client
from stripe_source.api.credentials import ApiKey, KeyInfo, Secret, parse_key
from stripe_source.api.oauth import OAuth
from stripe_source.api.refusals import refusal
from stripe_source.errors import ConfigurationError, MalformedKey, MissingKey, PublishableKey, StripeError
from stripe_source.redaction import redact

pytestmark = pytest.mark.filterwarnings("error")


# The key is nowhere but in the request


@pytest.mark.parametrize(
    "text",
    [
        KEY, f"sk_live_{BODY}", f"rk_live_{BODY}", f"rkcs_test_{BODY}", f"pk_live_{BODY}", f"whsec_{BODY}",
        f"sk_{BODY}", f"sk_org_{BODY}", f"sk_org_live_{BODY}", f"ek_test_{BODY}", f"rt_{BODY}",
        f"Bearer {BODY}", f"bearer {BODY}=",
        f"{{'Authorization': 'Bearer {BODY}'}}", f"Authorization: {BODY}", f"https://user:{BODY}@proxy:8080/",
        f"%22sk_live_{BODY}%22", f"Xsk_live_{BODY}", f'{{"refresh_token":"{BODY}"}}', f"client_secret={BODY}&a=b",
        f"sk_live_{BODY[:8]}.{BODY[8:]}", f"({KEY})", f"key={KEY}&x", f"{KEY},{KEY}",
    ],
)
def test_anything_like_a_key_is_redacted(text: str) -> None:
    """Whatever stands around it; and what is left is not redacted a second time."""
    clean = redact(f"before {text} after")

    assert not [part for part in (BODY, BODY[:8], BODY[8:]) if part in clean]
    assert clean.startswith("before ") and clean.endswith(" after")
    assert clean == redact(clean)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invalid API Key provided: sk_test_****1234.", "Invalid API Key provided: sk_test_…redacted."),
        ("key 'rk_live_*********abcd' lacks", "key 'rk_live_…redacted' lacks"),
        ("No such customer: 'cus_NffrFeUfNV2Hib'", "No such customer: 'cus_NffrFeUfNV2Hib'"),
        ("Having the 'rak_charge_read' permission", "Having the 'rak_charge_read' permission"),
        ("Secret keys start with `sk_live_` or `sk_test_`.", "Secret keys start with `sk_live_` or `sk_test_`."),
        ("Use bearer authentication, basic authentication", "Use bearer authentication, basic authentication"),
        ("https://dashboard.stripe.com/acct_1/apikeys?a@b", "https://dashboard.stripe.com/acct_1/apikeys?a@b"),
    ],
)
def test_what_is_no_secret_stays(text: str, expected: str) -> None:
    """An error that hides what it is about helps nobody."""

    assert expected == redact(text)


@settings(max_examples=100, deadline=None, database=None)
@given(
    before=st.text(max_size=10), after=st.text(alphabet=" \n\"'`,;:)&<>{}[]/?#@!|\\", max_size=10),
    prefix=st.sampled_from(["sk_live_", "sk_test_", "rk_live_", "rkcs_test_", "sk_org_", "whsec_", "pk_test_"]),
    secret=st.text(alphabet="abcdefXYZ0189_", min_size=8, max_size=40).filter(lambda text: text.strip("_")),
)
def test_no_surroundings_let_a_key_through(before: str, after: str, prefix: str, secret: str) -> None:
    """Keys may be glued to anything."""

    assert f"{prefix}{secret}" not in redact(f"{before}{prefix}{secret}{after}")


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (KEY, "sk_test_…redacted"), ("sk_test_abc!def+ghi", "…redacted"), ("client_secret=abcdef&tail", "…redacted"),
        ("Bearer abc1234 rest", "…redacted"), ("pass;word", "…redacted"),
    ],
)
def test_a_given_secret_goes_whole(secret: str, shown: str) -> None:
    """Also one of which a part looks like a key: what is behind that part goes, too."""

    assert redact(f"before {secret} after", (secret,)) == f"before {shown} after"
    assert redact(f"{secret}more", (secret,)) == shown
    assert repr(Secret(secret)) == repr(shown)


class Leaky(ClientError):
    """An error of the HTTP library that tells too much."""

    def __str__(self) -> str:
        return f"GET https://x?key={KEY} {{'Authorization': 'Bearer {KEY}'}}"


def planted(request: web.Request) -> Reply:
    """A Stripe that echoes the key wherever it can."""
    return Reply(
        500,
        {"error": {"message": f"key {KEY}", "code": KEY, "type": KEY, "param": KEY}},
        {"Request-Id": KEY, "Stripe-Rate-Limited-Reason": KEY, "Location": f"https://{KEY}@x.com/{KEY}"},
    )


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
def test_a_key_that_stripe_echoes_is_not_seen(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """In text, repr, attributes, traceback with variables, and log."""

    def answer(request: web.Request) -> Reply:
        reply = planted(request)
        return Reply(status, reply.json, reply.headers)

    seen = _everything_seen(answer, caplog)
    assert BODY not in seen


@pytest.mark.parametrize("failing", [Leaky(), OSError(f"no {KEY}"), TimeoutError(KEY)])
def test_a_key_in_an_exception_of_the_http_library_is_not_seen(
    failing: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is that exception carried along as context."""

    def fail(*_: Any, **__: Any) -> None:
        raise failing

    monkeypatch.setattr("aiohttp.ClientSession.get", fail)
    seen = _everything_seen(planted, caplog)
    assert BODY not in seen


def _everything_seen(answer: Callable[[web.Request], Reply], caplog: pytest.LogCaptureFixture) -> str:
    async def story() -> str:
        async with serving(answer) as server, client_of(server, attempts=2) as client:
            try:
                await client.get(f"/v1/charges/{KEY}", {"key": KEY})
            except StripeError as error:
                assert error.__context__ is None and error.__cause__ is None
                ours = error.__traceback__
                assert ours is not None
                told = traceback.TracebackException(type(error), error, ours, capture_locals=True)
                frames = [frame for frame in told.stack if frame.filename != __file__ and frame.name == "_get"]
                shown = [
                    value for frame in frames for name, value in (frame.locals or {}).items()
                    if name not in ("path", "params", "url", "bare")  # these are the test's own
                ]
                assert shown
                return "\n".join([str(error), repr(error), str(vars(error)), repr(client), *shown])
        raise AssertionError("no error")

    with caplog.at_level(logging.DEBUG):
        seen = run(story())
    return "\n".join([seen, *(record.getMessage() for record in caplog.records if record.name == "stripe_source")])


def test_a_token_without_a_known_shape_is_not_seen() -> None:
    """Nobody promised that access tokens look like keys; what we sent is hidden wherever it comes back."""
    error = {"message": f"token {BODY}", "code": BODY, "type": BODY, "param": BODY}
    caught = refusal(400, {"error": error}, path="/v1/charges", secrets=(BODY,))

    assert BODY not in f"{caught} {vars(caught)}"


def test_credentials_do_not_show_themselves() -> None:
    """In a notebook, a debugger, a dump of variables."""
    oauth = OAuth("ca_1", KEY, f"rt_{BODY}")

    assert "ApiKey('sk_test_…redacted')" == repr(ApiKey(KEY))
    assert "OAuth(client_id='ca_1')" == repr(oauth)
    assert BODY not in repr(Client(ApiKey(KEY)))


# Keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"sk_live_{BODY}", KeyInfo("secret", True)),
        (f"sk_test_{BODY}", KeyInfo("secret", False)),
        (f"rk_live_{BODY}", KeyInfo("restricted", True)),
        (f"rk_test_{BODY}\n", KeyInfo("restricted", False)),
        (f"rkcs_test_{BODY}", KeyInfo("restricted", False)),
        (f"sk_org_{BODY}", KeyInfo("organization", None)),
        (f"sk_org_live_{BODY}", KeyInfo("organization", True)),
        (f"sk_org_test_{BODY}", KeyInfo("organization", False)),
    ],
)
def test_keys_say_what_they_are(key: str, expected: KeyInfo) -> None:
    """By their prefix."""

    assert expected == parse_key(key)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (None, MissingKey), ("", MissingKey), (" \n", MissingKey),
        (f"pk_live_{BODY}", PublishableKey), (f"pk_{BODY}", PublishableKey),
        (f"sk_live_{BODY[:8]} {BODY[8:]}", MalformedKey), (f"sk_live_{BODY[:8]}\r\nX: {BODY[8:]}", MalformedKey),
        (f'"sk_live_{BODY}"', MalformedKey), (f"'sk_live_{BODY}'", MalformedKey),
        ("sk_live_****abcd", MalformedKey), ("sk_live_...", MalformedKey), (f"xx_live_{BODY}", MalformedKey),
        (BODY, MalformedKey), (f"sk_{BODY}", MalformedKey), ("sk_live_", MalformedKey), (f"whsec_{BODY}", MalformedKey),
        (f"acct_{BODY}", MalformedKey), (f"Bearer sk_live_{BODY}", MalformedKey), (f"sk_live_{BODY}é", MalformedKey),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(key: str | None, kind: type[ConfigurationError]) -> None:
    """Each for its own reason; nothing is asked of Stripe."""
    with pytest.raises(ConfigurationError) as caught:
        ApiKey(key)

    assert kind is type(caught.value)
    assert not [part for part in (BODY[:8], BODY[8:]) if part in str(caught.value)]
