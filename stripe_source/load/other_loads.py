"""Loads by other machines meanwhile."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dlt
from dlt import Schema
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from stripe_source.destination.connection import sql_client


class OtherLoads:
    """The loads that a pipeline of this name has in the destination, from any machine, that moved its state.

    Every load with rows moves it: `run` notes the load in it. What asks is made once: dlt takes a while for that.
    """

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self._pipeline = pipeline
        self._asking: tuple[Any, Schema] | None = None

    def count(self, mine: Collection[str] = ()) -> tuple[int, int]:
        """How many there are, by one query.

        Args:
            mine: ids of loads to be counted apart.

        Returns:
            The number of others, and that of `mine`.
        """
        if not self._pipeline.default_schema_name:
            return 0, 0
        if self._asking is None:
            self._asking = sql_client(self._pipeline), self._pipeline.default_schema
        client, schema = self._asking
        query = _loads_query(client, schema, len(mine))
        try:
            with client, client.execute_query(query, *mine, self._pipeline.pipeline_name) as cursor:
                whole, own = cursor.fetchall()[0]
                return int(whole) - int(own or 0), int(own or 0)
        except DestinationUndefinedEntity:
            return 0, 0  # nothing was ever loaded


def _loads_query(client: Any, schema: Schema, mine: int) -> str:
    def table(name: str) -> str:
        return str(client.make_qualified_table_name(schema.naming.normalize_table_identifier(name)))

    def column(name: str) -> str:
        return str(client.escape_column_name(schema.naming.normalize_path(name)))

    among = f"l.{column('load_id')} IN ({', '.join(['%s'] * mine)})" if mine else "1 = 0"
    return (
        f"SELECT COUNT(*), SUM(CASE WHEN {among} THEN 1 ELSE 0 END)"
        f" FROM {table(schema.state_table_name)} s JOIN {table(schema.loads_table_name)} l"
        f" ON l.{column('load_id')} = s.{column('_dlt_load_id')}"
        f" WHERE s.{column('pipeline_name')} = %s AND l.{column('status')} = 0"
    )
