"""Every refusal has its exception, which says what was asked, what came and what to do."""
from __future__ import annotations

import pickle
from typing import Any

import pytest

from stripe_source.api.refusals import refusal
from stripe_source.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidBounds,
    InvalidOption,
    InvalidRequest,
    MissingKey,
    MixedData,
    NotEnabled,
    PermissionDenied,
    RateLimited,
    ResourceMissing,
    StripeError,
    UnknownMarker,
    UnknownTable,
    Unreachable,
)

pytestmark = pytest.mark.filterwarnings("error")

KEY_TEXT = "The provided key 'rk_test_****ab12' does not have the required permissions for this endpoint on account "


@pytest.mark.parametrize(
    ("status", "path", "error", "kind", "facts"),
    [
        (401, "/v1/charges", {"message": "Invalid API Key provided"}, AuthenticationError, {}),
        (401, "/v1/charges", {"code": "api_key_expired"}, AuthenticationError, {"code": "api_key_expired"}),
        (403, "/v1/charges", {"code": "more_permissions_required", "message": "Having the 'rak_charge_read' permission "
         "would allow this request to continue."}, PermissionDenied, {"permission": "rak_charge_read"}),
        (401, "/v1/charges", {"message": f"{KEY_TEXT}'acct_1'. Having the 'rak_charge_read' permission would …"},
         PermissionDenied, {"permission": "rak_charge_read"}),
        (403, "/v1/charges", {"message": "no"}, PermissionDenied, {"permission": None}),
        (403, "/v1/charges", {"code": "account_invalid"}, PermissionDenied, {"code": "account_invalid"}),
        (400, "/v1/issuing/cards", {"message": "Your account is not set up to use Issuing. Please visit …"}, NotEnabled,
         {"reason": "the product is not set up on this account"}),
        (404, "/v1/treasury/transactions", {"message": "Unrecognized request URL (GET: /v1/treasury/transactions)."},
         NotEnabled, {"reason": "the account is not onboarded to Treasury"}),
        (404, "/v1/chargez", {"message": "Unrecognized request URL (GET: /v1/chargez)."}, NotEnabled, {}),
        (400, "/v2/core/accounts", {"message": "Accounts v2 is not enabled for your platform."}, NotEnabled, {}),
        (403, "/v2/money_management/adjustments", {"code": "feature_not_enabled"}, NotEnabled, {}),
        (400, "/v1/test_helpers/test_clocks", {"message": "This endpoint is only available in testmode."}, NotEnabled,
         {"reason": "only available in test mode"}),
        (404, "/v1/charges/ch_1", {"code": "resource_missing", "param": "id"}, ResourceMissing, {"param": "id"}),
        (400, "/v1/events", {"message": "That event aged out of our retention policy"}, ResourceMissing,
         {"param": "starting_after"}),
        (400, "/v1/charges", {"code": "rate_limit"}, RateLimited, {}),
        (429, "/v1/charges", {"code": "lock_timeout"}, RateLimited, {"reason": "lock_timeout"}),
        (500, "/v1/charges", {}, ApiError, {}),
        (402, "/v1/charges", {"type": "card_error"}, InvalidRequest, {"type": "card_error"}),
    ],
)
def test_every_refusal_has_its_exception(
    status: int, path: str, error: dict[str, str], kind: type[StripeError], facts: dict[str, Any]
) -> None:
    """By status and code first, by Stripe's words where there is nothing else."""
    caught = refusal(status, {"error": error}, path=path)

    assert kind is type(caught)
    assert facts == {name: getattr(caught, name) for name in facts}


def test_an_error_says_what_was_asked_what_came_and_what_to_do() -> None:
    """The table is known to the caller only, who adds it."""
    error = refusal(
        403,
        {"error": {"code": "more_permissions_required", "message": "Having the 'rak_charge_read' permission helps."}},
        path="/v1/charges", request_id="req_1", account="acct_1",
    )
    error.table = "charges"

    assert str(error) == (
        "Table `charges`, `/v1/charges`, account `acct_1`: Stripe answered 403 more_permissions_required "
        "(request req_1): Having the 'rak_charge_read' permission helps. Give the key the permission "
        "`rak_charge_read` at https://dashboard.stripe.com/apikeys, or leave the table out with `exclude`."
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownTable("charge", ["charges", "customers"]),
         "Unknown table `charge`. Did you mean `charges`? Run `stripe-source tables` to list all 2."),
        (UnknownTable("xyz", ["charges"], ["Charges"]),
         "Unknown table `xyz`. Run `stripe-source tables` to list all 1."),
        (UnknownTable("PaymentIntnt", ["x"], ["PaymentIntent"]),
         "Unknown table `PaymentIntnt`. Did you mean `PaymentIntent`? Run `stripe-source tables` to list all 1."),
        (UnknownMarker("creatd", ["created", "id"], "charges"),
         "Unknown marker `creatd` for table `charges`. Did you mean `created`? Known: `created`, `id`."),
        (InvalidOption("deletes", "sof", ["soft", "hard"]),
         "`sof` is no value for option `deletes`. Did you mean `soft`? Known: `soft`, `hard`."),
        (InvalidBounds("`start` is not before `end`", start=2, end=1),
         "`start` is not before `end`. `start` is `2`. `end` is `1`. Bounds on `created` are a datetime, a date, ISO "
         "text or unix seconds; `end` is exclusive."),
        (MixedData("mode", "live", "test", "stripe_data"),
         "Dataset `stripe_data` holds data of mode `live`, and the key reads mode `test`. Use the key of `live`, or "
         "load `test` into a dataset of its own (`--dataset`)."),
    ],
)
def test_wrong_configuration_is_explained(error: ConfigurationError, expected: str) -> None:
    """With what was given, what is known, and what was probably meant."""

    assert (expected, 2) == (str(error), error.exit_code)


def test_exit_codes_tell_wrong_use_from_refusal() -> None:
    """2 is ours, 3 is Stripe's, 1 is anything else."""

    assert [2, 3, 3, 1, 1] == [
        kind.exit_code for kind in (MissingKey, AuthenticationError, PermissionDenied, NotEnabled, Unreachable)
    ]


def test_errors_travel_between_processes() -> None:
    """Shards of a run are processes of their own."""
    error = refusal(429, None, path="/v1/charges", rate_limited_reason="global-rate", attempts=8)
    error.table = "charges"
    copy = pickle.loads(pickle.dumps(error))

    assert (str(error), vars(error)) == (str(copy), vars(copy))
    assert str(UnknownTable("a", ["b"])) == str(pickle.loads(pickle.dumps(UnknownTable("a", ["b"]))))


def test_advice_for_a_key_that_may_not_from_here() -> None:
    """It is not the key that is wrong, and a new one would not help."""
    address = AuthenticationError("This API key can only be used from the IP addresses on its allowlist.", status=401)
    platform = AuthenticationError(
        "Only Stripe Connect platforms can work with other accounts.", status=401, account="acct_1")
    no_access = PermissionDenied("No.", status=403, code="account_invalid", account="acct_1")

    assert "allow list" in str(address) and "Create a key" not in str(address)
    for error in (platform, no_access):
        assert "leave out `account_id`" in str(error) and "acct_1" in error.advice()
    assert "Create a key" in str(AuthenticationError("Invalid API Key provided", status=401))
