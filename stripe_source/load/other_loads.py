"""Loads that another machine or process makes with the same pipeline meanwhile."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dlt
from dlt import Schema
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from stripe_source.destination.connection import sql_client


class OtherLoads:
    """Counts the loads in the destination that changed the state of this pipeline, from any machine.

    Every load with rows changes it: a run writes the id of the load into it. The client is made once, because dlt takes
    a while for that.
    """

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self._pipeline = pipeline
        self._client: tuple[Any, Schema] | None = None

    def count(self, own_ids: Collection[str] = ()) -> tuple[int, int]:
        """Count the loads, by one query.

        Args:
            own_ids: ids of the loads of this run.

        Returns:
            The number of other loads, and that of the run's own ones.
        """
        if not self._pipeline.default_schema_name:
            return 0, 0
        if self._client is None:
            self._client = sql_client(self._pipeline), self._pipeline.default_schema
        client, schema = self._client
        query = _loads_query(client, schema, len(own_ids))
        try:
            with client, client.execute_query(query, *own_ids, self._pipeline.pipeline_name) as cursor:
                total, own = cursor.fetchall()[0]
                return int(total) - int(own or 0), int(own or 0)
        except DestinationUndefinedEntity:
            return 0, 0  # nothing was ever loaded


def _loads_query(client: Any, schema: Schema, own_count: int) -> str:
    def table(name: str) -> str:
        return str(client.make_qualified_table_name(schema.naming.normalize_table_identifier(name)))

    def column(name: str) -> str:
        return str(client.escape_column_name(schema.naming.normalize_path(name)))

    is_own = f"l.{column('load_id')} IN ({', '.join(['%s'] * own_count)})" if own_count else "1 = 0"
    return (
        f"SELECT COUNT(*), SUM(CASE WHEN {is_own} THEN 1 ELSE 0 END)"
        f" FROM {table(schema.state_table_name)} s JOIN {table(schema.loads_table_name)} l"
        f" ON l.{column('load_id')} = s.{column('_dlt_load_id')}"
        f" WHERE s.{column('pipeline_name')} = %s AND l.{column('status')} = 0"
    )
