"""Merge in one commit."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

KEYS_PER_FILTER = 500  # keys in one filter of Iceberg, where no part of the key is the same in all of them


def patch_iceberg() -> None:
    from dlt.common.libs import pyiceberg

    theirs = pyiceberg.merge_iceberg_table
    if theirs.__module__ == __name__:
        return

    def merge(table: Any, data: pa.Table, schema: Any, load_table_name: str) -> None:
        ours = {"_account_id", "_changed_at", "_dlt_id"} <= schema["columns"].keys()
        (_merge_rows if ours else theirs)(table, data, schema, load_table_name)

    pyiceberg.merge_iceberg_table = merge


def _merge_rows(table: Any, data: pa.Table, schema: Any, load_table_name: str) -> None:
    """Put rows in the place of those with their keys, in one commit; where flagged rows are to go, leave them out."""
    import pyarrow.compute as pc
    from dlt.common.libs.pyiceberg import ensure_iceberg_compatible_arrow_data

    data = ensure_iceberg_compatible_arrow_data(data)
    if not data.num_rows:
        return
    with table.update_schema() as update:
        update.union_by_name(data.schema)
    columns = schema["columns"]
    keys = [name for name, hint in columns.items() if hint.get("primary_key")]
    alive = data
    for flag in (name for name, hint in columns.items() if hint.get("hard_delete")):
        alive = alive.filter(pc.invert(alive[flag]))
    with table.transaction() as transaction:
        for test in _key_filters(data.select(keys)) if table.current_snapshot() else ():
            if table.scan(row_filter=test, selected_fields=(keys[-1],), limit=1).to_arrow().num_rows:
                transaction.delete(test)
        if alive.num_rows:
            transaction.append(alive)


def _key_filters(keys: pa.Table) -> Iterator[Any]:
    """Filters that find the rows with these keys."""
    from pyiceberg import expressions
    from pyiceberg.table.upsert_util import create_match_filter

    make: Any = expressions  # its classes take arguments by place, which mypy does not see

    values = {name: keys[name].unique().to_pylist() for name in keys.column_names}
    several = [name for name, found in values.items() if len(found) > 1]
    if len(several) < 2:
        last = several[0] if several else keys.column_names[-1]
        test: Any = make.In(last, values[last])
        for name in keys.column_names:
            if name != last:
                test = make.And(make.EqualTo(name, values[name][0]), test)
        yield test
        return
    for first in range(0, keys.num_rows, KEYS_PER_FILTER):
        yield create_match_filter(keys.slice(first, KEYS_PER_FILTER), keys.column_names)
