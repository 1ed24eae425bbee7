"""Loads that another machine or process makes with the same pipeline meanwhile."""
from __future__ import annotations

from collections.abc import Collection

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from stripe_source.destination.connection import sql_client
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import DestinationSql, StatementCounter


class OtherLoads:
    """Counts the loads in the destination that changed the state of this pipeline, from any machine.

    Every load with rows changes it: a run writes the id of the load into it. The client is made once, because dlt takes
    a while for that.

    Args:
        pipeline: whose loads are counted.
        counter: counts the statements.
    """

    def __init__(self, pipeline: dlt.Pipeline, counter: StatementCounter | None = None) -> None:
        self._pipeline, self._counter = pipeline, counter
        self._sql: DestinationSql | None = None

    def count(self, own_ids: Collection[str] = ()) -> tuple[int, int]:
        """Count the loads, by one query.

        Args:
            own_ids: ids of the loads of this run.

        Returns:
            The number of other loads, and that of the run's own ones.
        """
        if not self._pipeline.default_schema_name:
            return 0, 0
        if self._sql is None:
            client = sql_client(self._pipeline)
            self._sql = DestinationSql(client, self._pipeline.default_schema, counter=self._counter)
        query = statements.loads(self._sql, self._pipeline.pipeline_name, own_ids)
        try:
            with self._sql.client:
                rows = [row for some in self._sql.fetch_connected(query) for row in some]
        except DestinationUndefinedEntity:
            rows = []
        total, own = rows[0] if rows else (0, 0)  # nothing was ever loaded
        return int(total) - int(own or 0), int(own or 0)
