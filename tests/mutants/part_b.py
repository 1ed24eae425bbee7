"""Wrong lines in what plans a run, takes children out, follows the change feed, and compares with what is held."""

from __future__ import annotations

from mutants import Mutant

TOLD, WATCHED = "tests/test_feed_events.py -k", "tests/test_feed_watched.py -k"
GAPS, ORDER, GONE = "tests/test_feed_gaps.py -k", "tests/test_feed_order.py -k", "tests/test_feed_deletions.py -k"

MUTANTS = (
    # ---- children
    Mutant("return [nothing] if lists.by_change_feed else []", "return []", f"{GONE} cannot_have_children"),
    Mutant(
        "return [family] if things or lists.by_change_feed else []",
        "return [family] if things else []",
        f"{GONE} last_child_may_go",
    ),
    Mutant("verdict.complete = False\n        verdict.error = error", "verdict.error = error", f"{GONE} refused_later"),
    Mutant(
        'if kind.takes(thing) or (found.fallback and "object" not in thing)',
        "if True",
        f"{GONE} deleted_customer_keeps",
    ),
    Mutant(
        "return kind in self.table.object or (self.other_kinds and kind not in self.named)",
        "return kind in self.table.object",
        "tests/test_nothing_dropped.py -k no_more",
    ),
    Mutant(
        "value = fingerprint(event, False)  # what the row has as its key, where the object has none", "pass",
        "tests/test_nothing_dropped.py -k without_an_id",
    ),
    Mutant(
        'id = fingerprint(event, False) if handle is None else f"{handle.number} {event.data.get(PLACE)}"', "pass",
        "tests/test_nothing_dropped.py -k without_an_id",
    ),
    Mutant(
        "return not above or any(isinstance(value, dict) for value in values_at(thing, above))", "return False",
        "tests/test_nothing_dropped.py -k events_lack",
    ),
    Mutant(
        "return None if begin >= until else",
        "return None if False else",
        "tests/test_traps.py -k usage_before_there_was",
    ),
    Mutant(
        "lists.bare = lists.bare or (more and not found.child_path)",
        "lists.bare = False",
        "tests/test_traps.py -k come_unexpanded",
    ),
    Mutant("if not found.refusal_expected and all(", "if False and all(", "tests/test_traps.py -k is_given_up"),
    Mutant(
        "if column and family.owner and compared:",
        "if False:",
        f"{TOLD} compared_with_what_the_parent",
    ),
    # ---- feed
    Mutant("EVENTS_KEPT = 29 * 86_400", "EVENTS_KEPT = 31 * 86_400", f"{GAPS} longer_than_events_are_kept"),
    Mutant("[position - self._lookback]", "[position]", f"{ORDER} shows_up_after_the_run"),
    Mutant(
        "NotedEvents(self._now - lookback)",
        "NotedEvents(self._now)",
        f"{ORDER} are_not_applied_again",
    ),
    Mutant(
        "whose and self._emitter.owner and whose != self._emitter.owner", "False", f"{TOLD} events_of_other_accounts"
    ),
    Mutant("whose != self._emitter.owner", "True", f"{TOLD} connected_account_are_its_own"),
    Mutant("if second == change.at and itself:", "if itself:", f"{ORDER} older_second_has_no_say"),
    Mutant("second >= changes[key].at", "second > changes[key].at", f"{ORDER} may_come_last"),
    Mutant(
        "max(second, applied.get(key, second))",
        "min(second, applied.get(key, second))",
        f"{ORDER} without_their_parents",
    ),
    Mutant(
        "if version and not version.deleted and version.changed_at > change.at:",
        "if False:",
        f"{ORDER} deletion_from_before",
    ),
    Mutant(
        "if version is not None and version.changed_at >= change.at:",
        "if version is not None and version.changed_at > change.at:",
        f"{ORDER} outlives_events_of_its_second",
    ),
    Mutant(
        'doubtful = unsure or event.get("api_version") not in (None, self._client.api_version) or any(',
        "doubtful = unsure or any(",
        f"{TOLD} another_version_is_only",
    ),
    Mutant(
        "elif ends_object(event) and not root.table.survives_deleted_event:",
        "elif ends_object(event):",
        f"{TOLD} canceled_subscription",
    ),
    Mutant(
        'return None if answer.body.get("deleted") is True else (answer.body, answer.date)',
        "return (answer.body, answer.date)",
        f"{GONE} hard_deletes",
    ),
    Mutant("if changed.get(other):", "if False:", f"{WATCHED} shows_a_changed_price"),
    Mutant(
        "return all(self._requests[table.name].settled for table in root.tables())",
        "return True",
        f"{ORDER} put_right",
    ),
    Mutant(
        "position - max(int(watch.lookback.total_seconds()), self._lookback)", "position", f"{WATCHED} still_watched"
    ),
    Mutant(
        "if version and not same and version.changed_at >= read_at - LIST_DELAY:",
        "if False:",
        f"{ORDER} list_that_is_behind",
    ),
    Mutant(
        "version.changed_at >= read_at - LIST_DELAY", "version.changed_at >= read_at", f"{ORDER} list_that_is_behind"
    ),
    Mutant("low, high + 1)", "low, high)", f"{WATCHED} in_which_it_is_due"),
    Mutant(
        "to_refetch += [id for id in stored if id not in found and id not in self._applied[name]]",
        "pass",
        f"{WATCHED} leaves_a_watched_list",
    ),
    # ---- held
    Mutant("exp.LTE(this=self.column(when)", "exp.LT(this=self.column(when)", f"{WATCHED} in_which_it_is_due"),
    Mutant('"_deleted_at": moments, "_changed_at": moments,', '"_deleted_at": moments,', f"{GONE} row_is_flagged_once"),
    Mutant('"_deleted_at": moments, ', "", f"{GONE} row_is_flagged_once"),
    Mutant("None)] if None in given else []", "None)] if False else []", f"{WATCHED} leaves_a_watched_list"),
    # ---- run
    Mutant(
        "start is not None and start >= before",
        "start is not None and start <= before",
        f"{GAPS} bound_that_moves_back",
    ),
    # ---- plan
    Mutant('bool(value.get("has_more"))', "False", "tests/test_plan.py -k as_if_nobody"),
    Mutant("-(-high // 86_400) * 86_400", "high // 86_400 * 86_400", "tests/test_plan.py -k whole_days"),
    Mutant("parent.get(name) != value", "parent.get(name) == value", "tests/test_plan.py -k may_have_children"),
    Mutant('here[last] = value.get("id")', "pass", "tests/test_plan.py -k as_if_nobody"),
    Mutant(
        "if error.permission == plan.table.permission:",
        "if error.permission != plan.table.permission:",
        "tests/test_traps.py -k expanded_costs",
    ),
    # ---- look
    # ---- on the way to dlt
    Mutant(
        "if self.error is not None:\n                raise self.error",
        "if False:\n                raise self.error",
        "tests/test_load.py -k another_account",
    ),
    Mutant(
        "if not any(secret in value for secret in self.secrets)", "if True", "tests/test_row_worker.py -k knows_no_key"
    ),
    # ---- options
    Mutant("return math.ceil(seconds)", "return math.floor(seconds)", "tests/test_options.py -k unix_seconds"),
    Mutant("value = math.ceil(value)\n", "value = math.floor(value)\n", "tests/test_options.py -k durations"),
    Mutant(
        "low is not None and high is not None and low >= high",
        "low is not None and high is not None and low > high",
        "tests/test_options.py -k test_bounds",
    ),
    Mutant(
        '(pattern.count("%"), -len(pattern))',
        '(pattern.count("%"), len(pattern))',
        "tests/test_options.py -k the_marker_of",
    ),
    Mutant(
        'native = "%" in pattern and pattern == pattern.lower()',
        'native = "%" in pattern',
        "tests/test_options.py -k pattern_means",
    ),
    Mutant(
        "if rate is DEFAULT_RATE and is_loopback(api_base):",
        "if is_loopback(api_base):",
        "tests/test_options.py -k loopback",
    ),
    Mutant(
        'return self.mode == "initial" or table.name in self.refresh',
        'return self.mode == "initial"',
        "tests/test_options.py -k refresh_reads",
    ),
    Mutant(
        "if client_id and client_secret and (refresh_token or oauth_file) and not api_key:",
        "if client_id and client_secret and (refresh_token or oauth_file):",
        "tests/test_options.py -k test_keys",
    ),
    Mutant(
        '"id": bool(table.path) and not table.singleton',
        '"id": bool(table.path)',
        "tests/test_options.py -k the_marker_of",
    ),
    Mutant("chosen -= resolve(_words(exclude))\n", "pass\n", "tests/test_options.py -k exclude_takes_out"),
    # ---- alone
)
