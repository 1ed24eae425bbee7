"""API keys and what each of them may read: secret, restricted, publishable and expired ones, and tokens of apps."""
from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from stripe_source.sandbox.state.books import WorldState
from stripe_source.sandbox.state.requests import Refusal

TOKEN_SECONDS = 3600
# Permissions that another one includes, by Stripe's reference of permissions.
_IMPLIED = {
    "rak_balance_transaction_source_read": ("rak_balance_read", "rak_application_fee_read", "rak_transfer_read"),
    "rak_checkout_session_read": ("rak_payment_intent_read", "rak_product_read", "rak_setup_intent_read"),
    "rak_credit_note_read": ("rak_invoice_read",),
    "rak_invoice_read": ("rak_credit_note_read",),
    "rak_customer_read": ("rak_billing_clock_read",),
    "rak_payment_method_read": ("rak_source_read",),
}


@dataclass
class Key:
    """One key and its permissions; None stands for all permissions."""

    text: str
    permissions: frozenset[str] | None = None
    expired: bool = False
    expires_at: int | None = None
    account: str | None = None

    @property
    def prefix(self) -> str:
        """The part of the key that is not secret."""
        return "_".join(self.text.split("_")[:2]) + "_"

    def __repr__(self) -> str:
        return f"Key({self.prefix}…)"


class Keys:
    """All keys of a world."""

    def __init__(self, world: WorldState) -> None:
        self.world = world
        self.mode = "live" if world.livemode else "test"
        self._known: dict[str, Key] = {}
        self.secret = self._new(f"sk_{self.mode}_")
        self.publishable = self._new(f"pk_{self.mode}_")
        self.client_id = "ca_" + self._random(32)
        self.refresh_token = "rt_" + self._random(40)
        self._used_refresh_tokens: set[str] = set()

    def _random(self, length: int) -> str:
        return base64.b64encode(self.world.rng.randbytes(length), b"xY").decode()[:length]

    def _new(self, prefix: str, permissions: frozenset[str] | None = None) -> str:
        text = prefix + "51" + self._random(64)
        self._known[text] = Key(text, permissions)
        return text

    def restricted(self, permissions: Iterable[str]) -> str:
        """Return a new restricted key with these permissions, such as `rak_charge_read`; write implies read."""
        given = set(permissions)
        for each in list(given):
            if each.endswith("_write"):
                given.add(each.removesuffix("_write") + "_read")
        for each in list(given):
            given.update(_IMPLIED.get(each, ()))
        return self._new(f"rk_{self.mode}_", frozenset(given))

    def expire(self, text: str) -> None:
        """Let a key expire: from now on it is refused with 401 `api_key_expired`."""
        self._known[text].expired = True

    def revoke(self, text: str) -> None:
        """Delete a key: from now on it is refused as unknown."""
        del self._known[text]

    def identify(self, authorization: str | None) -> Key:
        """Return the key of an Authorization header, or raise the refusal that Stripe answers."""
        if not authorization:
            raise Refusal(401, "You did not provide an API key. You need to provide your API key in the Authorization "
                               "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                          headers={"WWW-Authenticate": 'Bearer realm="Stripe"'})
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() == "basic":
            try:
                text = base64.b64decode(text).decode().split(":", 1)[0]
            except (binascii.Error, UnicodeDecodeError):
                text = ""
        masked = text[:8] + "*" * max(0, min(len(text), 40) - 12) + text[-4:] if len(text) > 12 else "*" * len(text)
        if text.startswith("pk_"):
            raise Refusal(401, "This API call cannot be made with a publishable API key. Please use a secret API key. "
                               "You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
                          code="secret_key_required")
        key = self._known.get(text)
        if key is None:
            raise Refusal(401, f"Invalid API Key provided: {masked}")
        if key.expired:
            raise Refusal(401, f"Expired API Key provided: {masked}", code="api_key_expired")
        if key.expires_at is not None and self.world.now >= key.expires_at:
            raise Refusal(401, f"Expired access token provided: {masked}", code="api_key_expired")
        return key

    def require(self, key: Key, permission: str | None, account: str) -> None:
        """Refuse a restricted key that lacks a permission."""
        if permission is not None and key.permissions is not None and permission not in key.permissions:
            raise Refusal(
                403, f"The provided key '{key.prefix}{'*' * 20}{key.text[-4:]}' does not have the required permissions "
                f"for this endpoint on account '{account}'. Having the '{permission}' permission would allow this "
                "request to continue.", code="more_permissions_required")

    def exchange(self, grant: dict[str, str], secret: str | None) -> dict[str, object]:
        """Return a new access token and a new refresh token; the old refresh token is no longer valid."""
        if secret is None or secret != self.secret:
            raise OAuthRefusal(401, "invalid_client", "No such API key, or it may not exchange tokens.")
        if grant.get("grant_type") != "refresh_token":
            raise OAuthRefusal(400, "unsupported_grant_type", "`grant_type` must be `refresh_token`.")
        given = grant.get("refresh_token")
        if not given:
            raise OAuthRefusal(400, "invalid_request", "No refresh token provided.")
        if given != self.refresh_token:
            text = "was used before" if given in self._used_refresh_tokens else "does not exist"
            raise OAuthRefusal(400, "invalid_grant", f"This refresh token {text}.")
        self._used_refresh_tokens.add(given)
        self.refresh_token = "rt_" + self._random(40)
        token = self._new(f"sk_{self.mode}_")
        self._known[token].expires_at = self.world.now + TOKEN_SECONDS
        return {"access_token": token, "expires_in": TOKEN_SECONDS, "livemode": self.world.livemode,
                "refresh_token": self.refresh_token, "scope": "stripe_apps", "token_type": "bearer",
                "stripe_user_id": self.world.books.account, "stripe_publishable_key": self.publishable}


class OAuthRefusal(Exception):
    """A refusal with the body of OAuth errors."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}
