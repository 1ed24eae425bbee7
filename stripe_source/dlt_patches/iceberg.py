"""Iceberg: a merge in one commit, by a destination derived from dlt's."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations import filesystem
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient, IcebergLoadFilesystemJob

from stripe_source.dlt_patches.tables import column_names, is_ours

if TYPE_CHECKING:
    import pyarrow as pa

KEYS_PER_FILTER = 500  # keys in one filter of Iceberg, where no part of the key is the same in all of them


class MergingFilesystem(filesystem):
    """dlt's filesystem destination, which merges our Iceberg tables in one commit.

    pyiceberg's upsert, which dlt calls, fails where a load does not have the columns of the table in their order,
    compares every value in Python, commits every 1,000 rows, and removes nothing.
    """

    @property
    def destination_type(self) -> str:
        """The type under which dlt keeps this destination in a pipeline's state."""
        return "dlt.destinations.filesystem"

    @property
    def client_class(self) -> type[FilesystemClient]:
        """The job client."""
        return MergingFilesystemClient


class MergingFilesystemClient(FilesystemClient):
    """dlt's job client, with jobs of ours for our Iceberg tables."""

    def get_load_job_class(self, table: Any, file_path: str) -> Any:
        """The class of the job for a file."""
        found = super().get_load_job_class(table, file_path)
        merges = is_ours(table) and table["write_disposition"] == "merge"
        return MergeJob if merges and found is IcebergLoadFilesystemJob else found


class MergeJob(IcebergLoadFilesystemJob):
    """Merges the files of a load into an Iceberg table."""

    def run(self) -> None:
        """Merge them; where there is no table yet, let dlt make it first, which then calls this again."""
        rows = self.arrow_dataset
        try:
            table = self._job_client.load_open_table("iceberg", self.load_table_name, schema=rows.schema)
        except DestinationUndefinedEntity:
            super().run()
            return
        _merge_rows(table, rows.to_table(), self._load_table)


def _merge_rows(table: Any, data: pa.Table, schema: Any) -> None:
    """Put rows in the place of those with their keys, in one commit; where flagged rows are to go, leave them out."""
    import pyarrow.compute as pc
    from dlt.common.libs.pyiceberg import ensure_iceberg_compatible_arrow_data

    data = ensure_iceberg_compatible_arrow_data(data)
    if not data.num_rows:
        return
    with table.update_schema() as update:
        update.union_by_name(data.schema)
    keys = column_names(schema, "primary_key")
    alive = data
    for flag in column_names(schema, "hard_delete"):
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
