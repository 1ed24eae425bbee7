"""Messages between us and the worker."""
from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stripe_source.api.http.secret_members import without_secret_members
from stripe_source.arrow_rows.builder import undecided_schema
from stripe_source.arrow_rows.values import nulls
from stripe_source.tables.placement import Placement, extract_children, may_have_children
from stripe_source.tables.schema_map import TableMap

if TYPE_CHECKING:
    import pyarrow as pa

@dataclass(frozen=True)
class PageHandle:
    """Objects of a page that the process keeps.

    Args:
        number: of the page.
        text: the page as Stripe sent it, should the process end.
        secrets: whether `client_secret` and the like are wanted of it.
        places: of the objects on the page.
        taken: places on these objects from which those of other tables were taken.
    """

    number: int
    text: bytes
    secrets: bool
    places: tuple[int, ...] = ()
    taken: tuple[Placement, ...] = ()

    def select(self, things: Sequence[dict[str, Any]]) -> PageHandle:
        """Some of them, by their digests."""
        return replace(self, places=tuple(thing[PLACE] for thing in things))

    def objects(self) -> Sequence[dict[str, Any]]:
        """The objects, read again."""
        import orjson

        page = orjson.loads(self.text if self.secrets else without_secret_members(self.text))["data"]
        return without_children([page[place] for place in self.places], self.taken)


ORDER_HEAD = struct.Struct("<II")  # bytes of JSON, and of the body
ANSWER_HEAD = struct.Struct("<I")  # bytes; 0: it could not be done
PLACE = "\0"  # a member of the objects in a digest: their place on the page, which no member of Stripe's is named like


def placement_to_dict(found: Placement) -> dict[str, Any]:
    """What of a place is needed to take out what is there."""
    return {"parent": found.parent, "at": found.at, "expand": found.expand, "fallback": found.fallback,
            "where": found.where, "when": found.when}


def without_children(things: Sequence[dict[str, Any]], places: Sequence[Placement]) -> Sequence[dict[str, Any]]:
    """Objects without those of other tables, as the reader leaves them."""
    for found in places:
        for thing in things:
            if may_have_children(thing, found):
                extract_children(thing, found)
    return things


def pack_rows(loose: pa.Table) -> pa.Buffer:
    """Rows as `RowBuilder.build` makes them, as an Arrow stream without the columns in which there is nothing."""
    import pyarrow as pa

    some = loose.select([place for place, column in enumerate(loose.columns) if column.null_count < len(column)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, some.schema) as stream:
        stream.write_table(some)
    return sink.getvalue()


def unpack_rows(stream: bytes, shape: TableMap) -> pa.Table:
    """The rows that `packed` made a stream of."""
    import pyarrow as pa

    some = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
    schema, there = undecided_schema(shape), set(some.column_names)
    columns = [
        some.column(name) if name in there else nulls(held_as, some.num_rows)
        for name, held_as in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table(columns, schema=schema)
