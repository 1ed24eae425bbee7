"""Wrong lines in the ground check: what is asked of the destination, and what follows from it."""

from __future__ import annotations

from mutants import Mutant

CELL, SINGLE = "tests/test_ground.py -k", "tests/test_single_tables.py -k"
LOADS, ACCOUNTS = "tests/test_ground_loads.py -k", "tests/test_ground_accounts.py -k"

MUTANTS = (
    Mutant("LOST_LOAD: known and not held.last_load,", "LOST_LOAD: False,", f"{CELL} restored"),
    Mutant("LOST_ROWS: not rows and bool(state.held),", "LOST_ROWS: False,", f"{CELL} truncated"),
    Mutant("if not reason and not known and marker is not None:", "if False:", f"{CELL} lost_state"),
    Mutant("if state.rewrite or name in held.lost_columns:", "if state.rewrite:", f"{CELL} dropped_column"),
    Mutant(
        "if state.rewrite or name in held.lost_columns:", "if name in held.lost_columns:", f"{LOADS} migrated_again"
    ),
    Mutant("if made_with != self.api_version:", "if False:", f"{CELL} other_api_version"),
    Mutant(
        "if (state.map_hash or first_hash(name) or self.map_hash) != self.map_hash:", "if False:", f"{CELL} other_map"
    ),
    Mutant("return _marked(whole, mark) if mark else whole", "return whole", f"{CELL} other_map"),
    Mutant("destination.make_again({*held.lost_tables", "destination.make_again({*()", f"{CELL} dropped_table"),
    Mutant('("dropped_tables", "truncated_tables")', '("dropped_tables",)', f"{CELL} drop_data"),
    Mutant('if kind == "replace":\n', 'if kind == "replace" and False:\n', f"{CELL} replaced"),
    Mutant("refresh=refresh)\n        refresh = None", "refresh=refresh)", f"{CELL} drop_resources"),
    Mutant(
        "put_back(state, source_state)\n    if doubted:", "put_back(state, source_state)\n    if False:",
        f"{LOADS} was_dropped",
    ),
    Mutant("if self._rewrites:\n", "if False:\n", f"{LOADS} gets_all_again"),
    Mutant("if before and now and before != now:", "if False:", f"{ACCOUNTS} told_from_that_of_another"),
    Mutant("if False in seen and True not in seen:", "if False:", f"{ACCOUNTS} objects_tell"),
    Mutant("any(owner.live is (not mode) for owner in owners)", "False", f"{ACCOUNTS} a_live_key_is_refused"),
    Mutant("or (whose is not None and not self._emitter.owner)", "", f"{ACCOUNTS} events_that_name"),
    Mutant("if self._frozen and self._run.identity is None:", "if False:", "tests/test_dlt_habits.py -k frozen"),
    Mutant(
        "(PAGE if self._limited else ROWS_PER_TABLE):", "ROWS_PER_TABLE:", "tests/test_dlt_habits.py -k limit_is_one"
    ),
    Mutant(
        "return answer is not None\n\n    def _of_rows", "return True\n\n    def _of_rows",
        "tests/test_row_functions.py -k made_for",
    ),
    Mutant("return iso_time(value * 1000)", "return iso_time(value)", "tests/test_tql.py -k every_value_of_a_charge"),
    Mutant("{name}[{self._index(node) + 1}]", "{name}[{self._index(node)}]", "tests/test_tql.py -k queries_select"),
    Mutant("if name in self.recent:", "if False:", "tests/test_tql.py -k incremental_loads"),
    Mutant('path.open("xb")', 'path.open("wb")', "tests/test_tql.py -k files_roll"),
    Mutant("if reader.api_base and reader.api_key is None:", "if False:", "tests/test_tql.py -k key_to_stripe"),
    Mutant("1 << place % _BITS", "1 << place % 8", "tests/test_tql.py -k programs_of_striims"),
    Mutant("if cursor is not None:\n        raise", "if False:\n        raise", "tests/test_dlt_habits.py -k another"),
    Mutant("name in self._copied - mine for", "name in set() for", "tests/test_copied_objects.py"),
    Mutant(
        "if other and not self._is_applied(event_id, seen_ids):", "if other:",
        "tests/test_copied_objects.py",
    ),
    Mutant(
        "for each in self.passes if until is None or each.number <= until)", "for each in self.passes)",
        f"{SINGLE} any_order",
    ),
    Mutant("feed_pass=last_pass, settled=", "feed_pass=None, settled=", f"{SINGLE} one_position"),
    Mutant(
        "for watch in root.table.watch if root.wanted or root.children else ():\n            if watch.due is None",
        "for watch in root.table.watch if root.wanted else ():\n            if watch.due is None",
        f"{SINGLE} no_events",
    ),
    Mutant("selected=False)", "selected=True)", f"{SINGLE} no_task"),
    Mutant("class StripeSource(NotPickled, DltSource)", "class StripeSource(DltSource)", f"{SINGLE} pickled"),
)
