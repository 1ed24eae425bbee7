"""Every question that is put to a destination about our tables and dlt's own, as a sqlglot expression; no I/O."""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlglot import exp, select

from stripe_source.destination.sql.dialect import DestinationSql


def rows(sql: DestinationSql, table: str, names: Iterable[str], *tests: exp.Expr) -> exp.Select:
    """Columns of the rows of the account that pass some tests."""
    return select(*map(sql.column, names)).from_(sql.table(table)).where(sql.ours(), *tests)


class Part(NamedTuple):
    """What is asked of one table together with others.

    Args:
        table: its name.
        names: columns of text.
        time: a column with a time.
        tests: for the rows of the account.
    """

    table: str
    names: Sequence[str]
    time: str
    tests: Sequence[exp.Expr] = ()


def together(sql: DestinationSql, parts: Sequence[Part]) -> exp.Query:
    """What is asked of several tables, in one statement.

    Each row is the number of the part, as many texts as any part has columns, the fingerprint, whether the row is
    flagged as deleted, and the time.
    """
    width = max(len(part.names) for part in parts)
    queries: list[exp.Query] = []
    for number, part in enumerate(parts):
        unused = [exp.Literal.string("") for _ in range(width - len(part.names))]
        own = [*map(sql.column, part.names), *unused, *map(sql.column, ("_dlt_id", "_deleted", part.time))]
        named = [exp.alias_(each, f"c{place}") for place, each in enumerate([exp.Literal.number(number), *own])]
        queries.append(select(*named).from_(sql.table(part.table)).where(sql.ours(), *part.tests))
    return exp.union(*queries, distinct=False) if len(queries) > 1 else queries[0]


def keys(sql: DestinationSql, names: Sequence[str], some: Sequence[Sequence[exp.Expr]]) -> exp.Expr:
    """The test for some keys.

    Args:
        sql: the dialect.
        names: the columns of the key.
        some: the keys, a literal for each column.
    """
    if not names:
        return exp.Literal.number(1).eq(1)  # one row per account
    if len(names) == 1:
        return exp.In(this=sql.column(names[0]), expressions=[key[0] for key in some])
    tests = [exp.and_(*(sql.column(name).eq(part) for name, part in zip(names, key, strict=True))) for key in some]
    return exp.paren(exp.or_(*tests))


def due(sql: DestinationSql, want: str, table: str, column: str, value: str, when: str, now: int) -> exp.Select:
    """A column of the living rows that hold a value whose time has come."""
    return rows(sql, table, [want], sql.not_deleted(), *sql.due(column, value, when, now))


def count(sql: DestinationSql, table: str, *tests: exp.Expr) -> exp.Select:
    """The number of living rows that pass some tests."""
    return select(exp.Count(this=exp.Star())).from_(sql.table(table)).where(sql.alive(), *tests)


def count_of_others(sql: DestinationSql, table: str) -> exp.Select:
    """The number of rows of other accounts."""
    return select(exp.Count(this=exp.Star())).from_(sql.table(table)).where(
        exp.NEQ(this=sql.column("_account_id"), expression=sql.text(sql.account)))


def newest(sql: DestinationSql, table: str) -> exp.Select:
    """The newest `_changed_at`."""
    return select(exp.Max(this=sql.column("_changed_at"))).from_(sql.table(table)).where(sql.ours())


def contents(sql: DestinationSql, tables: Iterable[str]) -> exp.Query:
    """For each of some tables: name, number of rows, how many are flagged as deleted, newest `_changed_at`."""
    queries: list[exp.Query] = []
    for name in tables:
        flagged = exp.If(this=sql.equals("_deleted", True), true=exp.Literal.number(1))
        figures = {
            "name": sql.text(name), "number": exp.Count(this=exp.Star()),
            "flagged": exp.Sum(this=exp.Case(ifs=[flagged], default=exp.Literal.number(0))),
            "newest": exp.Max(this=sql.column("_changed_at")),
        }
        named = [exp.alias_(each, alias) for alias, each in figures.items()]
        queries.append(select(*named).from_(sql.table(name)).where(sql.ours()))
    return exp.union(*queries, distinct=False) if len(queries) > 1 else queries[0]


def oldest(sql: DestinationSql, table: str, time: str) -> exp.Select:
    """The oldest time in a column."""
    return select(exp.Min(this=sql.column(time))).from_(sql.table(table)).where(sql.ours())


def places(sql: DestinationSql, table: str, time: str, wanted: Iterable[int]) -> exp.Select:
    """Place and time of the living rows at some places, counted from 1, in the order of a time."""
    moment = sql.column(time)
    number = exp.Window(this=exp.RowNumber(), order=exp.Order(expressions=[exp.Ordered(this=moment.copy())]))
    numbered = (
        select(exp.alias_(moment, "moment"), exp.alias_(number, "place")).from_(sql.table(table))
        .where(sql.alive(), moment.copy().is_(exp.null()).not_())
    )
    here = [exp.column(name, table="numbered") for name in ("place", "moment")]
    literals = [exp.Literal.number(place) for place in wanted]
    return select(*here).from_(numbered.subquery("numbered")).where(exp.In(this=here[0].copy(), expressions=literals))


def ledger(sql: DestinationSql, transactions: str) -> exp.Select:
    """The sum of `net` by balance type, status and currency."""
    names = [sql.column(name) for name in ("balance_type", "status", "currency")]
    return (
        select(*names, exp.Sum(this=sql.column("net"))).from_(sql.table(transactions)).where(sql.alive())
        .group_by(*(name.copy() for name in names))
    )


def ledger_changes(
    sql: DestinationSql, transactions: str, spans: Sequence[tuple[int | None, int | None]]
) -> exp.Query:
    """By span of `created`, reporting category and currency: number of transactions, sums of `amount`, `fee` and `net`.

    Args:
        sql: the dialect.
        transactions: the table of balance transactions.
        spans: unix seconds [since, until); None: no bound. The first column is the place of a span among them.
    """
    queries: list[exp.Query] = []
    for place, (since, until) in enumerate(spans):
        groups = [sql.column(name) for name in ("reporting_category", "currency")]
        sums = [exp.Sum(this=sql.column(name)) for name in ("amount", "fee", "net")]
        found = [exp.Literal.number(place), *groups, exp.Count(this=exp.Star()), *sums]
        named = [exp.alias_(each, f"c{at}") for at, each in enumerate(found)]
        queries.append(
            select(*named).from_(sql.table(transactions)).where(sql.alive(), *sql.created_in("created", since, until))
            .group_by(*(each.copy() for each in groups))
        )
    return exp.union(*queries, distinct=False) if len(queries) > 1 else queries[0]


def report_sums(
    sql: DestinationSql, report: str, bounds: Sequence[str], groups: Sequence[str], figures: Sequence[str]
) -> exp.Select:
    """Of a financial report, by its bounds and some columns: number of rows, and sums of some others."""
    kept = [sql.column(name) for name in (*bounds, *groups)]
    sums = [exp.Sum(this=sql.column(name)) for name in figures]
    return select(*kept, exp.Count(this=exp.Star()), *sums).from_(sql.table(report)).where(sql.alive()).group_by(
        *(each.copy() for each in kept))


def payouts(
    sql: DestinationSql, payout: str, member: str, transaction: str, *tests: exp.Expr
) -> exp.Select:
    """The automatic payouts, each with number, sums and currencies of the transactions that it swept.

    Args:
        sql: the dialect.
        payout: the table of payouts.
        member: the table that says which transactions a payout swept.
        transaction: the table of balance transactions.
        tests: for payouts, of alias `p`.
    """

    def column(of: str, name: str) -> exp.Column:
        return sql.column(name, of)

    own = [column("p", name) for name in ("id", "currency", "amount", "reconciliation_status")]
    payout_itself = exp.Coalesce(this=column("p", "balance_transaction"), expressions=[exp.Literal.string("")])
    is_swept = exp.NEQ(this=column("m", "balance_transaction_id"), expression=payout_itself)

    def of_swept(of: str, name: str) -> exp.Case:
        """A column of the transactions that were swept. Not every database takes that test where tables are joined."""
        return exp.Case(ifs=[exp.If(this=is_swept.copy(), true=column(of, name))])

    figures = {
        "swept": exp.Count(this=of_swept("m", "balance_transaction_id")), "known": exp.Count(this=of_swept("b", "id")),
        "net": exp.Sum(this=of_swept("b", "net")), "copied": exp.Sum(this=of_swept("m", "net")),
        "least": exp.Min(this=of_swept("b", "currency")), "most": exp.Max(this=of_swept("b", "currency")),
    }
    members = [column("m", "payout_id").eq(column("p", "id")), sql.alive("m")]
    known = [column("b", "id").eq(column("m", "balance_transaction_id")), sql.alive("b")]
    query = (
        select(*own, *(exp.alias_(each, name) for name, each in figures.items()))
        .from_(sql.table(payout, "p"))
        .join(sql.table(member, "m"), on=exp.and_(*members), join_type="left")
        .join(sql.table(transaction, "b"), on=exp.and_(*known), join_type="left")
        .where(sql.alive("p"), column("p", "automatic").eq(sql.boolean(True)), *tests)
        .group_by(*(name.copy() for name in own))
    )
    if sql.dialect == "clickhouse":  # else what is not there is '' and 0
        query.set("settings", [exp.var("join_use_nulls").eq(exp.Literal.number(1))])
    return query


def loads(sql: DestinationSql, pipeline: str, own_ids: Collection[str]) -> exp.Select:
    """The number of loads that changed the state of a pipeline, and how many of them are among some ids."""
    state, load = sql.schema.state_table_name, sql.schema.loads_table_name
    own = exp.In(this=sql.column("load_id", "l"), expressions=[sql.text(id) for id in own_ids])
    one = exp.Case(ifs=[exp.If(this=own, true=exp.Literal.number(1))], default=exp.Literal.number(0))
    return (
        select(exp.Count(this=exp.Star()), exp.Sum(this=one) if own_ids else exp.Literal.number(0))
        .from_(sql.table(state, "s"))
        .join(sql.table(load, "l"), on=sql.column("load_id", "l").eq(sql.column("_dlt_load_id", "s")))
        .where(sql.column("pipeline_name", "s").eq(sql.text(pipeline)),
               sql.column("status", "l").eq(exp.Literal.number(0)))
    )


def schema_versions(sql: DestinationSql) -> exp.Select:
    """The versions of dlt's schema that the destination keeps, the oldest first."""
    order = sql.column("inserted_at")
    return select(sql.column("version_hash"), order).from_(sql.table(sql.schema.version_table_name)).order_by(
        order.copy())


def one(sql: DestinationSql, table: str, *tests: exp.Expr) -> exp.Select:
    """1 for each row that passes some tests."""
    return select(exp.Literal.number(1)).from_(sql.table(table)).where(*tests)


def exist(sql: DestinationSql, queries: Sequence[exp.Query]) -> exp.Select:
    """For each of some queries, 1 where it answers a row, else 0."""
    yes, no = exp.Literal.number(1), exp.Literal.number(0)
    tests = [exp.If(this=exp.Exists(this=query), true=yes.copy()) for query in queries]
    cases = [exp.Case(ifs=[test], default=no.copy()) for test in tests]
    found = select(*(exp.alias_(case, f"c{place}") for place, case in enumerate(cases)))
    return found.from_("dual") if sql.dialect == "oracle" else found


def load(sql: DestinationSql, load_id: str) -> exp.Select:
    """1 where a load is complete."""
    complete = sql.column("status").eq(exp.Literal.number(0))
    return one(sql, sql.schema.loads_table_name, sql.equals("load_id", load_id), complete)


def complete_loads(sql: DestinationSql) -> exp.Select:
    """The ids of all loads of the schema that are complete."""
    return select(sql.column("load_id")).from_(sql.table(sql.schema.loads_table_name)).where(
        sql.column("status").eq(exp.Literal.number(0)), sql.column("schema_name").eq(sql.text(sql.schema.name)))


def of_load(sql: DestinationSql, table: str, names: Iterable[str], load_id: str, order: str) -> exp.Select:
    """The rows of a table that a load brought, in the order of a column."""
    return select(*map(sql.column, names)).from_(sql.table(table)).where(
        sql.equals("_dlt_load_id", load_id)).order_by(sql.column(order))


def schema_version(sql: DestinationSql, version_hash: str) -> exp.Select:
    """1 where the destination keeps a version of dlt's schema."""
    return one(sql, sql.schema.version_table_name, sql.equals("version_hash", version_hash))


def owners(sql: DestinationSql, tables: Mapping[str, Collection[str]]) -> exp.Query:
    """Whose rows some tables hold: table, account, the id of a living row, and whether a living row is live (1 or 0).

    Args:
        sql: the dialect.
        tables: their columns, by name; where there is no `id` it answers '', and without `livemode` -1.
    """
    queries: list[exp.Query] = []
    for name, columns in tables.items():
        id: exp.Expr = exp.Literal.string("")
        live: exp.Expr = exp.Literal.number(-1)
        if "id" in columns:
            id = exp.Min(this=exp.Case(ifs=[exp.If(this=sql.not_deleted(), true=sql.column("id"))]))
        if "livemode" in columns:
            is_live = exp.If(this=sql.equals("livemode", True), true=exp.Literal.number(1))
            live = exp.Max(this=exp.Case(ifs=[is_live], default=exp.Literal.number(0)))
        account = sql.column("_account_id")
        named = zip((sql.text(name), account, id, live), "tail", strict=True)
        queries.append(
            select(*(exp.alias_(each, alias) for each, alias in named)).from_(sql.table(name)).group_by(account.copy())
        )
    return exp.union(*queries, distinct=False) if len(queries) > 1 else queries[0]
