"""What holds of every native schema map: it is what the generator makes, and loses nothing that the SDK knows."""
from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.common.schema.typing import COLUMN_HINTS

from stripe_source.codegen.everything import LEFT_OUT, unknown_left_out
from stripe_source.codegen.left_out import found_in_document, missing, read_left_out, undecided
from stripe_source.codegen.maps import MAPS, check, generate, known_objects, maps
from stripe_source.codegen.rules import ENVELOPE, NAME, WIDTH, column_name, is_money, short
from stripe_source.codegen.sdk import Class
from stripe_source.codegen.tree import Generator
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table

SDK = known_objects()
CURATION: dict[str, Any] = yaml.safe_load((MAPS / "curation.yaml").read_text(encoding="utf-8"))
DATA_TYPES = {"text", "bigint", "double", "bool", "timestamp", "date", "decimal", "json"}
OURS = {"path", "references"}
DOCUMENT = MAPS.parents[1] / "shared" / "reference" / "stripe-spec3-2026-08-26.dahlia.json.gz"
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def read(table: Table) -> dict[str, Any]:
    """The committed map of a table."""
    with open(MAPS / "stripe" / f"{table.name}.yaml", encoding="utf-8") as file:
        schema_map: dict[str, Any] = yaml.load(file, Loader=yaml.CSafeLoader)
    return schema_map


def paths(schema_map: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns of a map by the path of their value."""
    return {words.get("path", name.replace("__", ".")): words for name, words in schema_map["columns"].items()}


def row_classes(table: Table) -> Iterator[Class]:
    """The SDK's classes of a table's rows."""
    for name in table.object:
        cls = SDK.objects[name]
        for part in filter(None, table.at.split(".")):
            of = next(field.type for field in SDK.fields(cls) if field.name == part)
            item = of.of[0].cls if of.of else of.cls
            assert item is not None
            cls = item
        yield cls


def sdk_paths(cls: Class, whole: set[str], prefix: str = "") -> Iterator[str]:
    """Paths of all fields that are not objects, down to objects that are kept whole."""
    for field in SDK.fields(cls):
        path = prefix + field.name
        inside = field.type.cls if field.type.kind in ("object", "resource") else None
        if inside and path not in whole:
            yield from sdk_paths(inside, whole, f"{path}.")
        else:
            yield path


def test_maps_are_what_the_generator_makes() -> None:
    """A new SDK, a new table or a new decision shows here by column; `python -m stripe_source.codegen` writes it."""

    assert check() == []


def test_generating_elsewhere_gives_the_same_files(tmp_path: Path) -> None:
    """The command can be run anywhere, twice, and leaves nothing behind of tables that are no more."""
    (tmp_path / "gone.yaml").write_text("table: gone\n")
    generate(tmp_path)
    made = {path.name: path.read_text(encoding="utf-8") for path in generate(tmp_path)}

    assert {path.name: path.read_text(encoding="utf-8") for path in (MAPS / "stripe").glob("*.yaml")} == made
    assert {path.name for path in tmp_path.iterdir()} == set(made)


def test_check_names_each_difference(tmp_path: Path) -> None:
    """Missing, surplus and changed: files and columns."""
    two = [BY_NAME["accounts"], BY_NAME["balance_available"]]
    generate(tmp_path, tables=two)
    (tmp_path / "balance_available.yaml").unlink()
    changed = (tmp_path / "accounts.yaml").read_text(encoding="utf-8")
    changed = changed.replace("  country: {data_type: text", "  county: {data_type: bigint")
    (tmp_path / "accounts.yaml").write_text(changed, encoding="utf-8")
    (tmp_path / "old.yaml").write_text("table: old\n")

    assert check(tmp_path, tables=two) == [
        "accounts.yaml: column `country` is missing",
        "accounts.yaml: column `county` should not be there",
        "balance_available.yaml: is missing",
        "old.yaml: no table has this name",
    ]


@every_table
def test_every_field_of_the_sdk_has_a_place(table: Table) -> None:
    """A column of its own, inside a JSON column, or in a child table."""
    schema_map = read(table)
    columns = paths(schema_map)
    whole = {path for path, words in columns.items() if words["data_type"] == "json"}
    whole |= set(schema_map.get("children", ()))
    omitted = {path for name in table.object for path in (CURATION.get(name) or {}).get("omit", ())}
    wanted = {path for cls in row_classes(table) for path in sdk_paths(cls, whole)}

    assert wanted - set(columns) - set(schema_map.get("children", ())) - omitted == set()


@every_table
def test_a_column_that_the_sdk_lacks_has_a_reason(table: Table) -> None:
    """It is in curation, in the registry, or in the envelope of an embedded list."""
    schema_map = read(table)
    columns = paths(schema_map)
    whole = {path for path, words in columns.items() if words["data_type"] == "json"}
    known = {path for cls in row_classes(table) for path in sdk_paths(cls, whole)}
    added = {path for name in table.object for path in (CURATION.get(name) or {}).get("add", ())}
    envelopes = {f"{path}.{member}" for path in schema_map.get("children", ()) for member in ENVELOPE}

    assert set(columns) - known - added - envelopes == set()


def test_every_decision_has_a_reason() -> None:
    """Curation without a reason cannot be undone by the next person."""
    reasons = {
        f"{name}: {action} {path}": (entry or {}).get("reason")
        for name, actions in CURATION.items()
        for action, entries in actions.items()
        for path, entry in entries.items()
    }

    assert {where for where, reason in reasons.items() if not reason} == set()
    assert {action for actions in CURATION.values() for action in actions} <= {
        "json", "flat", "kinds", "omit", "add", "change",
    }


@every_table
def test_words_are_dlts_or_ours(table: Table) -> None:
    """Types and hints are dlt's; further words start with `x-`; the key is never null."""
    columns = read(table)["columns"]
    words = {word for column in columns.values() for word in column if not word.startswith("x-")}

    assert words <= set(COLUMN_HINTS) | {"data_type", "nullable", "description", "precision", "scale"} | OURS
    assert {column["data_type"] for column in columns.values()} <= DATA_TYPES
    assert {name for name, column in columns.items() if column.get("nullable") is False} == (
        {"id", *table.key} & set(columns)
    )


@every_table
def test_what_a_column_refers_to_is_there(table: Table) -> None:
    """References name tables with an id, `x-currency` a text column beside the amount, extras and kinds real paths."""
    schema_map = read(table)
    columns = schema_map["columns"]

    assert {words["references"] for words in columns.values() if "references" in words} <= {
        name for name, other in BY_NAME.items() if "id" in other.key
    }
    currencies = {words["x-currency"] for words in columns.values() if "x-currency" in words}
    assert {columns[name]["data_type"] for name in currencies} <= {"text"}
    assert set(table.extra) <= set(columns)
    for path in (*schema_map.get("json_kinds", ()), *schema_map.get("children", ())):
        assert path == "" or any(column.startswith(f"{path}.") for column in paths(schema_map))


@every_table
def test_names_survive_dlt_and_postgres(table: Table) -> None:
    """Snake case as dlt makes it, unique with the bookkeeping columns, short enough, and no table too wide."""
    names = list(read(table)["columns"])
    all_names = [column.name for column in table_map(table).columns]
    naming = NamingConvention()

    assert [naming.normalize_path(name) for name in names] == names
    assert [name for name in names if len(name.encode()) > NAME] == []
    assert len(set(all_names)) == len(all_names)
    assert len(names) <= WIDTH
    assert len(all_names) <= 250


@every_table
def test_id_comes_first_and_the_rest_by_name(table: Table) -> None:
    """The order of the columns does not depend on the SDK's."""
    schema_map = read(table)
    order = [path.split(".") for path, words in paths(schema_map).items()]
    own = [path for path, name in zip(order, schema_map["columns"], strict=False) if name not in table.extra]

    assert own == sorted(own, key=lambda path: [(part != "id", part) for part in path])


def test_every_object_of_the_sdk_makes_a_map() -> None:
    """The rules need no knowledge of the tables: all objects, those of `/v2/` too, fit with unique names."""
    tables = [Table(name.replace(".", "_"), (name,), "") for name in SDK.objects]
    made = list(maps(tables=tables, sdk=SDK))

    assert len(made) >= 180
    assert {made_map["table"]: len(made_map["columns"]) for made_map in made if len(made_map["columns"]) > WIDTH} == {}
    assert [name for made_map in made for name in made_map["columns"] if len(name) > NAME] == []
    assert set(CURATION) <= set(SDK.objects)


def test_two_objects_share_a_table() -> None:
    """A table of several objects has the columns of both, and a type that takes both where they disagree."""
    table = Table("external", ("bank_account", "card"), "")
    both, bank, card = (
        Generator(SDK, [], {}).map(Table("external", objects, ""))["columns"]
        for objects in (table.object, ("bank_account",), ("card",))
    )

    assert set(both) == set(bank) | set(card)
    assert both["routing_number"] == bank["routing_number"]
    assert both["exp_month"] == card["exp_month"]


def test_stale_curation_is_an_error() -> None:
    """A decision about a field that is gone is reported with its path."""
    generator = Generator(SDK, TABLES, {"refund": {"json": {"gone": {"reason": "…"}}}})

    with pytest.raises(ValueError, match="`json` names `gone`, which is not there"):
        generator.map(BY_NAME["refunds"])


def test_curation_adds_changes_and_omits() -> None:
    """The three actions on columns."""
    generator = Generator(SDK, TABLES, {"refund": {
        "add": {"card_network": {"data_type": "text", "reason": "…"}},
        "change": {"reason": {"description": "Why.", "reason": "…"}},
        "omit": {"receipt_number": {"reason": "…"}},
    }})
    before = Generator(SDK, TABLES, {}).map(BY_NAME["refunds"])["columns"]
    after = generator.map(BY_NAME["refunds"])["columns"]

    assert set(after) - set(before) == {"card_network"}
    assert set(before) - set(after) == {"receipt_number"}
    assert after["reason"] == {**before["reason"], "description": "Why."}


@pytest.mark.parametrize(("table", "column", "words"), [
    ("charges", "amount", {"data_type": "bigint", "x-currency": "currency"}),
    ("charges", "created", {"data_type": "timestamp"}),
    ("charges", "customer", {"data_type": "text", "references": "customers"}),
    ("charges", "payment_method", {"data_type": "text", "references": "payment_methods"}),
    ("charges", "payment_method_details__card__brand", {"data_type": "text"}),
    ("charges", "payment_method_details__klarna", {"data_type": "json"}),
    ("charges", "source", {"data_type": "json"}),
    ("charges", "metadata", {"data_type": "json"}),
    ("charges", "card__three_d_secure__authentication_flow",
     {"data_type": "text", "path": "payment_method_details.card.three_d_secure.authentication_flow"}),
    ("customers", "discount__start", {"data_type": "timestamp"}),
    ("invoices", "lines__has_more", {"data_type": "bool"}),
    ("invoices", "discounts", {"data_type": "json"}),
    ("payment_intents", "client_secret", {"data_type": "text", "x-secret": True}),
    ("payment_intents", "last_payment_error__payment_intent", {"data_type": "json"}),
    ("payment_methods", "card__last4", {"data_type": "text"}),
    ("prices", "unit_amount_decimal",
     {"data_type": "decimal", "precision": 38, "scale": 12, "x-currency": "currency"}),
    ("subscription_items", "price__id", {"data_type": "text", "references": "prices"}),
    ("subscription_items", "price__recurring__interval", {"data_type": "text"}),
    ("tax_rates", "percentage", {"data_type": "double"}),
])
def test_a_column(table: str, column: str, words: dict[str, Any]) -> None:
    """One of each rule, by example."""
    found = read(BY_NAME[table])["columns"][column]

    assert {word: value for word, value in found.items() if word not in ("description", "nullable")} == words


@pytest.mark.parametrize(("path", "name"), [
    (("id",), "id"),
    (("shipping", "address", "city"), "shipping__address__city"),
    (("payment_method_details", "card", "three_d_secure", "exemption_indicator_applied"),
     "card__three_d_secure__exemption_indicator_applied"),
    (("a" * 30, "b" * 30, "c" * 30), "b" * 30 + "__" + "c" * 30),
    (("a", "b" * 64), None),
])
def test_column_name(path: tuple[str, ...], name: str | None) -> None:
    """Names that Postgres would cut lose their first parts."""

    assert column_name(path) == name


@pytest.mark.parametrize(("doc", "sentence"), [
    ("City, district, suburb, town, or village.", "City, district, suburb, town, or village."),
    ("Three-letter [ISO code](https://example.com). Lowercase.", "Three-letter ISO code."),
    ("A value, e.g. `a`.  And more.", "A value, e.g., `a`."),
    ("The US. Then more.", "The US."),
    ("word " * 60, "word " * 38 + "word…"),
    ("", ""),
])
def test_short(doc: str, sentence: str) -> None:
    """The first sentence without links, at most 200 characters."""

    assert short(doc) == sentence


@pytest.mark.parametrize(("name", "doc", "path", "money"), [
    ("amount_refunded", "", ("amount_refunded",), True),
    ("quantity", "How many.", ("quantity",), False),
    ("card", "Coming from cards.", ("source_types", "card"), True),
    ("amount_percent", "Percent of the amount.", ("amount_percent",), False),
    ("maximum", "", ("custom_unit_amount", "maximum"), True),
    ("maximum", "", ("adjustable_quantity", "maximum"), False),
])
def test_is_money(name: str, doc: str, path: tuple[str, ...], money: bool) -> None:
    """By name, by docstring, or by what it is in."""

    assert is_money(name, doc, path) is money


# ---- what Stripe leaves out unless it is expanded


def test_what_is_left_out_is_expanded_or_says_why_not() -> None:
    """Of each table, and an entry that forgets a field is named."""
    known = read_left_out(LEFT_OUT)
    forgets = replace(BY_NAME["coupons"], expand=("applies_to", "name"))

    assert undecided(known, TABLES, SDK) == []
    assert undecided(known, [forgets], SDK) == [
        "coupons: `currency_options` is left out by Stripe unless expanded: name it in `expand` or in `not_loaded`",
        "coupons: `name` is not in left_out.yaml, so that it need not be expanded",
    ]


@every_table
def test_columns_that_stay_empty_say_so(table: Table) -> None:
    """A declared column that no request asks for has the reason in its description, and no other one has."""
    said = {path for path, words in paths(read(table)).items() if words.get("description", "").startswith("Not loaded")}

    assert {path for path in said if not any(
        path == field or path.startswith(f"{field}.") for field in table.not_loaded
    )} == set()
    assert all(any(path == field or path.startswith(f"{field}.") or field.startswith(f"{path}.") for path in paths(
        read(table))) for field in table.not_loaded)


def test_a_new_field_that_is_left_out_is_found() -> None:
    """By the rule for OpenAPI documents: can be expanded, need not be there, is no id, and holds a list or a map."""
    names = {"type": "array", "items": {"type": "string"}}
    inner = {"properties": {"b": names}, "x-expandableFields": ["b"]}
    coupon = {
        "x-resourceId": "coupon", "required": ["always"],
        "x-expandableFields": ["applies_to", "new", "always", "ids", "in"],
        "properties": {
            "applies_to": {"type": "object"}, "new": names, "always": names, "text": {"type": "string"},
            "in": {"$ref": "#/components/schemas/inner"},
            "ids": {"type": "array", "items": {"anyOf": [{"type": "string"}], "x-expansionResources": {}}},
        },
    }
    found = found_in_document({"components": {"schemas": {"coupon": coupon, "inner": inner}}}, ["coupon", "charge"])

    assert missing(read_left_out(LEFT_OUT), found) == ["`in.b` of `coupon`", "`new` of `coupon`"]


@pytest.mark.skipif(not DOCUMENT.exists(), reason="Stripe's document is not beside this checkout")
def test_all_that_stripes_documents_leave_out_is_known() -> None:
    """The SDK's docstrings and the OpenAPI document bring nothing that `left_out.yaml` lacks."""
    with gzip.open(DOCUMENT) as file:
        assert unknown_left_out(json.load(file)) == []
