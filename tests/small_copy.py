"""A small account, its copy in a destination, and what may be done to both."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dlt
import duckdb
import truth
from destinations import Place, differences

from stripe_source import sandbox
from stripe_source.errors import StripeSourceError
from stripe_source.load.sync import sync
from stripe_source.source import stripe_source

TABLES = ("charges", "coupons", "customers", "subscription_items", "subscriptions")
MARKERS: dict[str, Any] = {"default": "auto", "created": "created", "id": "id", "none": "none"}


class Copy:
    """A small account, its copy in a destination, and what may be done to both."""

    def __init__(self, folder: Path, place: Place, marker: str, road: str, first: Path | None = None) -> None:
        self.folder, self.place, self.marker, self.road = folder, place, marker, road
        self.world: Any = sandbox.World(seed=7, scale=0.02)
        self.stripe = sandbox.serve(world=self.world)
        self.loaded = first is not None
        if first:
            shutil.copytree(first, folder, dirs_exist_ok=True)

    # ---- runs

    def run(self, name: str = "copy", *, refresh: Any = None, disposition: str | None = None, **given: Any) -> Any:
        """A run of a pipeline, on the road of this cell."""
        options: Any = {
            "tables": list(TABLES), "marker": MARKERS[self.marker], "api_base": self.stripe.url,
            "api_key": self.stripe.api_key, **given,
        }
        pipeline = dlt.pipeline(
            name, destination=self.place.make(), dataset_name="stripe", pipelines_dir=str(self.folder / "dlt"),
            refresh=refresh,
        )
        if self.road == "sync" and disposition is None:  # `sync` makes its source itself
            return sync(pipeline, **options)
        try:
            more: Any = {"write_disposition": disposition} if disposition else {}
            pipeline.run(stripe_source(**options), **more)
        except Exception as error:
            raise ours(error) from error
        return None

    def first(self) -> None:
        """The first load."""
        if not self.loaded:
            self.run()
        self.loaded = True

    def written(self, **given: Any) -> int:
        """How many rows a run wrote: those of its loads."""
        before = self.loads()
        self.run(**given)
        return sum(row["_dlt_load_id"] not in before for name in TABLES for row in self.place.rows(name))

    def loads(self) -> set[str]:
        return {row["load_id"] for row in self.place.rows("_dlt_loads")}

    # ---- what happens at Stripe

    def grows(self) -> None:
        """New objects, which every marker sees."""
        self.world.advance(3_600)
        customer = self.world.create("customer", name="New")["id"]
        self.world.create("charge", customer=customer, amount=700, currency="usd")
        self.world.create("subscription", customer=customer)
        self.world.create("coupon", percent_off=20, duration="once")
        self.world.advance(3_600)

    def moves(self) -> None:
        """New, changed and deleted ones, which a cursor on `created` or `id` does not see."""
        self.grows()
        oldest = sorted(self.there("customers"), key=lambda thing: thing["created"])
        self.world.update("customer", oldest[0]["id"], name=f"Renamed at {self.world.now}")
        self.world.delete("customer", oldest[1]["id"])
        self.world.delete("coupon", self.there("coupons")[0]["id"])
        self.world.advance(3_600)

    def goes_on(self) -> None:
        """What the marker sees."""
        self.grows() if self.marker in ("created", "id") else self.moves()

    def untold(self, **fields: Any) -> None:
        """All customers differ, and no event says so."""
        self.world.books.untold = True
        for thing in self.there("customers"):
            self.world.update("customer", thing["id"], **fields)
        self.world.books.untold = False

    def there(self, table: str) -> list[dict[str, Any]]:
        return [each.object for each in self.world.dump()[table] if each.listed and not each.deleted]

    def differences(self) -> list[str]:
        """Where the tables differ from the sandbox's dump."""
        dump, account = self.world.dump(), self.world.books.account
        return [
            line for name in TABLES for line in differences(self.place.rows(name), name, dump.get(name, []), account)
        ]


def ours(error: BaseException | None) -> BaseException:
    """The error of ours that dlt wrapped, or what it says itself."""
    seen, each = [], error
    while each is not None and each not in seen:
        if isinstance(each, StripeSourceError):
            return each
        seen.append(each)
        each = getattr(each, "exception", None) or each.__cause__
    assert error is not None
    return error


def wrong(file: Path, world: Any, *tables: str, account: str | None = None) -> list[str]:
    """Where tables differ from the dump."""
    dump = world.dump()
    with duckdb.connect(str(file), read_only=True) as connection:
        return [
            line for name in tables
            for line in truth.differences(connection, "stripe", name, dump[name], account or world.books.account)
        ]
