"""Wrong lines in WAEvents: their form, the order of changes, what is emitted, what is written to files."""

from __future__ import annotations

from mutants import Mutant

FORMS, IN, OUT = ("tests/test_waevent_forms.py -k", "tests/test_waevents_in.py -k", "tests/test_waevents_out.py -k")
SIZE = "tests/test_waevents_in_size.py -k come_sorted"

MUTANTS = (
    Mutant("COLUMNS_PER_BYTE = 7", "COLUMNS_PER_BYTE = 8", f"{FORMS} seven_columns"),
    Mutant("return bits if any(bits) else None", "return bits", f"{FORMS} says_nothing"),
    Mutant("self._keep(each, 0, sorted(records))", "self._keep(each, 0, records)", SIZE),
    Mutant("state = {**state, **values}", "state = dict(values)", f"{IN} order_of_their_time"),
    Mutant("if held is None or step.time // 1000 >= held]", "if True]", f"{IN} destination_holds"),
    Mutant("yield tuple(_key_part(row[place]) for place in places), {", "yield (), {", f"{IN} destination_holds"),
    Mutant("os.truncate(known, self._position.length)", "pass", f"{OUT} killed_writer"),
    Mutant("                file.unlink()\n        if not self._position.last", "                pass\n        if not "
           "self._position.last", f"{OUT} killed_writer"),
    Mutant("if _order(id) > _order(place.last)", "if _order(id) >= _order(place.last)", f"{OUT} what_is_loaded"),
    Mutant("self._told.pop(print_, _GONE if flag else _READ)", "(_GONE if flag else _READ)", f"{OUT} what_is_loaded"),
    Mutant("if load_id != self._load_id:\n            self._load_id, self._position = load_id, 0\n        import",
           "self._load_id, self._position = load_id, 0\n        import", f"{OUT} what_is_loaded"),
)
