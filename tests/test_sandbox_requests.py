"""Who may ask the sandbox and how often, what it notes of that, faults on demand, and Stripe's own client."""
from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from sandbox_answers import ask, error

from stripe_source import sandbox


@pytest.fixture
def box() -> Iterator[sandbox.Sandbox]:
    """A small business of one's own."""
    with sandbox.serve(world=sandbox.World(scale=0.05)) as box:
        yield box


# --- who asks (stripe_facts.md 2 and 13)


def test_keys_are_refused_with_stripes_codes(box: sandbox.Sandbox) -> None:
    """401 for none, wrong, publishable, revoked and expired ones, 403 for those without the permission."""
    keys = box.world.keys
    limited = box.world.restricted_key(["rak_charge_read"])
    status, body, _ = ask(box, "/v1/customers", key=limited)

    assert error(ask(box, "/v1/charges", key="sk_test_wrong12345")) == (401, None, None)
    assert error(ask(box, "/v1/charges", key=keys.publishable)) == (401, "secret_key_required", None)
    assert ask(box, "/v1/charges", key=limited)[0] == 200
    assert (status, body["error"]["code"]) == (403, "more_permissions_required")
    assert "'rak_customer_read'" in body["error"]["message"] and limited not in json.dumps(body)
    keys.expire(limited)
    assert error(ask(box, "/v1/charges", key=limited)) == (401, "api_key_expired", None)
    keys.revoke(limited)
    assert error(ask(box, "/v1/charges", key=limited)) == (401, None, None)


def test_a_key_as_basic_user(box: sandbox.Sandbox) -> None:
    """Stripe takes both kinds of Authorization (stripe_facts.md 1)."""
    import base64

    basic = base64.b64encode(f"{box.api_key}:".encode()).decode()

    assert ask(box, "/v1/balance", headers={"Authorization": f"Basic {basic}"})[0] == 200


def test_write_permissions_imply_reading(box: sandbox.Sandbox) -> None:
    """And reading does not imply writing (stripe_facts.md 2)."""
    writer = box.world.restricted_key(["rak_customer_write"])
    reader = box.world.restricted_key(["rak_customer_read"])

    assert ask(box, "/v1/customers", key=writer)[0] == 200
    assert ask(box, "/v1/customers", key=writer, form={"name": "A"})[0] == 200
    assert ask(box, "/v1/customers", key=reader, form={"name": "A"})[0] == 403


def test_transfers_arrive_at_the_connected_account(box: sandbox.Sandbox) -> None:
    """As a payment, whose reversal is its refund (stripe_facts.md 13)."""
    world = box.world
    other = world.connected[1]
    transfer = world.create("transfer", amount=700, destination=other)
    world.create("transfer_reversal", transfer=transfer["id"], amount=200)
    payment = ask(box, f"/v1/charges/{transfer['destination_payment']}", headers={"Stripe-Account": other})[1]

    assert (payment["amount"], payment["amount_refunded"], payment["source_transfer"]) == (700, 200, transfer["id"])


def test_refresh_tokens_rotate(box: sandbox.Sandbox) -> None:
    """Access tokens last an hour, a refresh token works once (stripe_facts.md 13)."""
    keys = box.world.keys
    first = keys.refresh_token
    status, grant, _ = ask(box, "/v1/oauth/token", form={"grant_type": "refresh_token", "refresh_token": first})
    again = ask(box, "/v1/oauth/token", form={"grant_type": "refresh_token", "refresh_token": first})

    assert (status, grant["expires_in"]) == (200, 3600) and grant["refresh_token"] == keys.refresh_token != first
    assert (again[0], again[1]["error"]) == (400, "invalid_grant")
    assert ask(box, "/v1/charges", key=grant["access_token"])[0] == 200
    box.world.advance(3600)
    assert ask(box, "/v1/charges", key=grant["access_token"])[0] == 401


# --- headers, faults, limits (stripe_facts.md 1, 3, 12)


def test_headers(box: sandbox.Sandbox) -> None:
    """Request id, version echo, and the world's time, not the machine's."""
    box.world.advance(100)
    _, _, headers = ask(box, "/v1/charges", headers={"Stripe-Version": "2024-06-20"})

    assert headers["Request-Id"].startswith("req_") and headers["Stripe-Version"] == "2024-06-20"
    assert headers["Date"] == "Sun, 01 Nov 2026 12:01:40 GMT"
    assert ask(box, "/v1/charges")[2]["Stripe-Version"] == "2026-10-28.endive"
    assert ask(box, "/v1/charges", headers={"Stripe-Version": "yesterday"})[0] == 400


def test_requests_are_noted_without_their_key(box: sandbox.Sandbox) -> None:
    """Tests can look at what was asked; no key is kept."""
    ask(box, "/v1/charges", {"limit": 3})
    request = box.world.requests[-1]

    assert request == sandbox.Request("GET", "/v1/charges", "limit=3", None, None, 200, "sk_test_")


@pytest.mark.parametrize(("fault", "expected"), [
    ({"status": 429, "headers": {"Stripe-Rate-Limited-Reason": "global-rate"}}, 429),
    ({"status": 500, "headers": {"Stripe-Should-Retry": "false"}}, 500), ({"status": 409}, 409),
    ({"truncate": True}, http.client.IncompleteRead), ({"garbage": True}, json.JSONDecodeError),
    ({"disconnect": True}, http.client.RemoteDisconnected),
])
def test_faults_befall_what_they_name_as_often_as_told(
    box: sandbox.Sandbox, fault: dict[str, Any], expected: Any
) -> None:
    """After that, and elsewhere, all is well."""
    made = box.world.faults.add("/v1/charges", times=2, after=1, **fault)

    def once() -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", box.port)
        try:
            connection.request("GET", "/v1/charges", headers={"Authorization": f"Bearer {box.api_key}"})
            answer = connection.getresponse()
            body = answer.read()
            json.loads(body.decode(errors="replace"))
            for name, value in fault.get("headers", {}).items():
                assert answer.status == 200 or answer.headers[name] == value
            return answer.status
        except (http.client.HTTPException, json.JSONDecodeError) as error:
            return type(error)
        finally:
            connection.close()

    assert [once() for _ in range(4)] == [200, expected, expected, 200]
    assert made.hits == 2
    made.remove()
    assert once() == 200


def test_wrong_answers(box: sandbox.Sandbox) -> None:
    """Well-formed JSON that is not what was asked for."""
    box.world.faults.add(r"/v1/.*", wrong="null", times=1)
    box.world.faults.add(r"/v1/.*", wrong="error", times=1)

    assert ask(box, "/v1/charges")[1] is None
    assert "error" in ask(box, "/v1/refunds")[1]
    assert ask(box, "/v1/refunds")[0] == 200


def test_limits_are_enforced_when_told(box: sandbox.Sandbox) -> None:
    """25 a second for an endpoint, different ids sharing it; the reason is in a header (stripe_facts.md 3)."""
    now = [0.0]
    faults = box.world.faults
    faults.limits, faults.clock, faults.per_account = True, lambda: now[0], 1000
    answers = [ask(box, "/v1/charges", {"limit": 1}) for _ in range(26)]

    assert [status for status, _, _ in answers] == [200] * 25 + [429]
    assert answers[-1][1]["error"]["code"] == "rate_limit"
    assert answers[-1][2]["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert ask(box, "/v1/refunds")[0] == 200
    now[0] += 1
    assert ask(box, "/v1/charges")[0] == 200
    faults.per_account = 2
    now[0] += 1
    paths = ("/v1/plans", "/v1/coupons", "/v1/prices")
    reasons = [ask(box, path)[2].get("Stripe-Rate-Limited-Reason") for path in paths]
    assert reasons == [None, None, "global-rate"]


# --- the official client


@pytest.fixture
def client(box: sandbox.Sandbox) -> stripe.StripeClient:
    """Stripe's SDK, pointed at the sandbox."""
    return stripe.StripeClient(box.api_key, base_addresses={"api": box.url}, max_network_retries=0)


def test_the_official_sdk_reads(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """Lists, auto-paging, expansion and typed errors."""
    charges = [each.id for each in client.v1.charges.list({"limit": 33}).auto_paging_iter()]
    expanded = client.v1.charges.list({"limit": 30, "expand": ["data.customer"]}).data

    assert charges == [each.object["id"] for each in box.world.dump()["charges"]]
    assert any(isinstance(each.customer, stripe.Customer) for each in expanded)
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        client.v1.charges.retrieve("ch_no")


def test_the_official_sdk_writes(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """A customer pays, is refunded, subscribes, is deleted; a card is declined."""
    customer = client.v1.customers.create({"name": "Zoë", "metadata": {"a": "1"}})
    charge = client.v1.charges.create({"amount": 900, "currency": "usd", "customer": customer.id, "source": "tok_visa"})
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 300})
    price = client.v1.prices.create({"currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"},
                                     "product_data": {"name": "Club"}})
    subscription = client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create({"amount": 500, "currency": "usd", "confirm": True,
                                          "payment_method": "pm_card_chargeDeclined"})

    assert (charge.status, refund.amount, subscription.status) == ("succeeded", 300, "active")
    assert declined.value.code == "card_declined"
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 300
    assert client.v1.customers.delete(customer.id).deleted
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_idempotent_requests_are_answered_once(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """The same key and parameters: the same answer; other parameters: refused (stripe_facts.md 1)."""
    one = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})
    two = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    assert one.id == two.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "B"}, {"idempotency_key": "k1"})
