"""Wrong lines in spans of lists, in what is kept and compared, in state, markers, contracts and the loop over loads."""

from __future__ import annotations

from . import Mutant

ANSWERS, PAGES = "tests/test_client_answers.py -k", "tests/test_client_pages.py -k"
SWEEPS, RUNS = "tests/test_backfill.py -k", "tests/test_cli_runs.py -k"
TOLD, GAPS = "tests/test_feed_events.py -k", "tests/test_feed_gaps.py -k"
ORDER, GONE = "tests/test_feed_order.py -k", "tests/test_feed_deletions.py -k"
LOAD, PROOF = "tests/test_load.py -k", "tests/test_verify.py -k"
DECLARED, DRIFT, SCRATCH = "tests/test_rows_declared.py -k", "tests/test_drift.py -k", "tests/test_scratch.py"
CUT, TWO, STATE = "tests/test_first_load.py -k", "tests/test_two_at_once.py -k", "tests/test_recorded_state.py -k"
WRONG = "tests/test_wrong_answers.py -k"
WALK, SCHEMA = "tests/test_generators.py -k", "tests/test_schema_migrate.py -k"

MUTANTS = (
    # ---- failures
    Mutant('return said.replace(":", "\\\\:")', "return said", "tests/test_destinations.py -k people_chose"),
    Mutant(
        "return error.__cause__ if any(each is error for each in causes_of(failure)) else failure", "return failure",
        f"{RUNS} have_an_end",
    ),
    Mutant("failures, wait = 0, pause", "wait = pause", f"{RUNS} pauses_after_failures"),
    Mutant("return error.exit_code not in (2, REFUSED)", "return True", f"{RUNS} pauses_after_failures"),
    # ---- spans of a list
    Mutant(
        "min(self.high, self.handed_over + 1)", "min(self.high, self.handed_over)", f"{SWEEPS} that_a_page_cut_in_two"
    ),
    Mutant(
        "if from_oldest and span.both_ends and span.both_ends.met:",
        "if from_oldest and span.both_ends and not span.both_ends.met:",
        f"{SWEEPS} both_readers",
    ),
    Mutant(
        "page.leave_out(self._ids_from_oldest)\n        self._ids_from_oldest",
        "self._ids_from_oldest",
        f"{SWEEPS} comes_twice_from_below",
    ),
    Mutant(
        "span.low = max(span.low, min(low, span.high - 1))",
        "span.low = max(span.low, low + 1)",
        f"{SWEEPS} very_second",
    ),
    Mutant("elif second >= moment:", "elif second > moment:", f"{SWEEPS} upper_bound_belongs"),
    # ---- lists to their end
    Mutant('error.param != "starting_after" or len(last_ids) < 2', "len(last_ids) < 2", f"{PAGES} parent_that_goes"),
    Mutant("IDS_TO_STEP_BACK = 100", "IDS_TO_STEP_BACK = 10", f"{PAGES} lose_most_of_its_objects"),
    Mutant("self._stripe_time if date is None else date", "date", f"{ANSWERS} told_once_is_kept"),
    Mutant("page.leave_out(delivered)", "pass", f"{PAGES} comes_again_is_handed"),
    # ---- events
    Mutant(
        "    if any(map(ends_object, events)):\n        return None\n", "", f"{TOLD} told_apart_by_what_they_changed"
    ),
    Mutant("request.position - self._lookback)\n", "request.position)\n", f"{ORDER} show_up_late"),
    # ---- what is stored
    Mutant('self.column("_deleted", of).eq(self.boolean(False))', "exp.true()", f"{GONE} row_is_flagged_once"),
    Mutant('self.column("_account_id", of).eq(self.text(self.account))', "exp.true()", f"{TOLD} two_accounts_in_one"),
    Mutant(
        "bounds = [(exp.GTE, since)",
        "bounds = [(exp.GT, since)",
        f"{GAPS} includes_its_own_second",
    ),
    Mutant("(exp.LT, until)]", "(exp.LTE, until)]", "tests/test_sql.py -k stored_is_counted"),
    Mutant('{"tsql", "fabric", "oracle", "sqlite"}', '{"oracle"}', "tests/test_sql.py -k destination_has_them"),
    # ---- what is gone
    Mutant(
        "bounded or not complete or table.retention or", "bounded or not complete or", f"{GONE} stripe_forgets_are_kept"
    ),
    Mutant("or bounded or not complete", "or bounded", f"{LOAD} half_way"),
    Mutant("not whole or bounded", "not whole", f"{GONE} from_a_bound_on"),
    Mutant(
        "for flags in range(8) if not flags & (_DELETED | _SEEN))",
        "for flags in range(8) if not flags & _SEEN)",
        "tests/test_fingerprint_index.py",
    ),
    Mutant(
        "            if deleted and hard:\n                continue",
        "            if False:\n                continue",
        f"{GONE} came_and_went_between",
    ),
    # ---- rows
    Mutant("min(seconds) in _SECONDS and max(seconds) in _SECONDS", "max(seconds) in _SECONDS", f"{DECLARED} misfit"),
    # ---- contracts
    Mutant("if undeclared.frozen_fields:", "if False:", f"{DRIFT} freeze_names"),
    Mutant("result.discarded += len(made.discarded)", "pass", f"{DRIFT} discard_row"),
    # ---- markers
    Mutant("if at <= before and (", "if (", "tests/test_id_marker.py"),
    Mutant("at > self.newest[0]", "at < self.newest[0]", "tests/test_id_marker.py"),
    Mutant("max(options.lookback, table.lookback.total_seconds())", "0", f"{LOAD} markers_bring"),
    # ---- state
    Mutant("        if version > VERSION:\n", "        if False:\n", f"{LOAD} later_release"),
    Mutant(
        "if options.end is not None:\n            return\n",
        "if False:\n            return\n",
        f"{GAPS} an_end_leaves_no_position",
    ),
    Mutant('state.refused = outcome.verdict.status == "no permission"', "pass", f"{GAPS} may_not_be_expanded"),
    Mutant("if failed_as_a_whole or outcome.now is None:", "if outcome.now is None:", f"{GAPS} broken_object"),
    # ---- a first load that was cut short
    Mutant("ask.reread == begun.reread\n", "True\n", f"{CUT} otherwise"),
    Mutant("ask.table.name in begun.tables and", "True and", f"{CUT} otherwise"),
    # ---- two at once
    Mutant(
        "            if loads.count(own_ids)[0] != others:\n", "            if False:\n", f"{TWO} loads_later_notices"
    ),
    Mutant("            if others != others_before:", "            if False:", f"{TWO} same_time"),
    Mutant("OtherLoads(pipeline).count(pending)[0] != loads_before", "False", f"{TWO} killed_run_left"),
    # ---- accounts
    Mutant('if own and account not in (own, "self"):', "if False:", f"{PROOF} another_account"),
    Mutant(
        'elif identity.account and self._stored_account not in (identity.account, "self"):',
        "elif False:",
        f"{LOAD} another_account",
    ),
    Mutant("if None not in (mode, state.livemode) and mode != state.livemode:", "if False:", f"{TOLD} live_data"),
    # ---- verifying and migrating
    Mutant("loaded_at) - LIST_DELAY", "loaded_at) + LIST_DELAY", f"{PROOF} just_before"),
    Mutant(
        "            high = low + 1  # one second", "            pass  # one second",
        f"{PROOF} second_with_many -m soak",
    ),
    Mutant('("<", since), (">=", until)', '("<", since), (">", until)', SCRATCH),
    Mutant("if (unsure or table.deletions_unknown) and", "if False and", "tests/test_verify_planted.py"),
    Mutant('return all("data_type" in', 'return any("data_type" in', f"{SCHEMA} columns_that_were_lost"),
    # ---- the walk without dlt
    Mutant(
        "            self._refused = True\n            self._refuse(error)",
        "            pass",
        f"{WALK} cannot_be_built",
    ),
    Mutant("elif verdict.status in FAILED:", "elif False:", f"{WALK} named_at_the_end"),
    # ---- wrong answers, and failures that stay small
    Mutant('if body["has_more"] and body.get("data") == []:', "if False:", f"{WRONG} says_that_there_is_more"),
    Mutant("if found == id and kind not in", "if True or kind not in", f"{WRONG} about_another_object"),
    Mutant("gone = {key for key in gone if key[0] in confirmed}", "pass", f"{WRONG} asked_for_before"),
    Mutant(
        "self._unfiltered = self._begins_again = True\n            self._changed.set()\n        return",
        "self._unfiltered = True\n            self._changed.set()\n        return",
        f"{WRONG} filters_by_another_time",
    ),
    Mutant("unsure = change.id.startswith(root.table.refetched_ids)", "unsure = False", f"{WRONG} older_api"),
    Mutant("self._skipped += 1", "raise error", f"{WRONG} stepped_over"),
    Mutant("if self.on_skip is None or self.size != 1", "if True", f"{WRONG} stepped_over"),
    Mutant("lists.failed[str(known)] = error", "raise", f"{WRONG} one_bad_parent"),
    Mutant("if error.status != 404:  # of old", "if True:  # of old", f"{WRONG} children_that_is_not_there"),
    Mutant(
        "        if outcome.by_change_feed and narrower:\n            return",
        "        if False:\n            return",
        f"{WRONG} bound_loses_no_change",
    ),
    Mutant("unix_second(answer.body.get(table.time)) != created", "False", f"{WRONG} use_again"),
)
