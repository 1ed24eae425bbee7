"""Mutants of what asks Stripe, reads lists, makes rows, goes on with loads, and verifies."""

from __future__ import annotations

from . import Mutant

SECRETS = "tests/test_secrets.py"
REQUESTS, ANSWERS = "tests/test_client_requests.py", "tests/test_client_answers.py"
RETRIES, PAGES = "tests/test_client_retries.py", "tests/test_client_pages.py"
ERRORS, KEYS, OAUTH = "tests/test_client_errors.py", "tests/test_client_keys.py", "tests/test_client_oauth.py"
LIMITS, SWEEPS = "tests/test_limits.py", "tests/test_backfill.py"
DECLARED, UNDECLARED = "tests/test_rows_declared.py", "tests/test_rows_undeclared.py"
PORTIONS, PROOF = "tests/test_first_load.py", "tests/test_verify.py"

MUTANTS = (
    # keys, tokens, hosts
    Mutant('if host == "localhost":', 'if host.endswith("localhost"):', f'{REQUESTS} -k "sounds_local"'),
    Mutant(
        "name not in settings or settings[name].value != value", "name not in settings or True",
        f"{SECRETS} -k goes_to_another_host",
    ),
    Mutant("base is None or not base.in_file or", "base is None or", f"{SECRETS} -k goes_to_another_host"),
    Mutant("self._file.save(str(rotated))", "pass", f'{OAUTH} -k "kept_in_a_file"'),
    Mutant(
        "self._refresh_token = self._file.newest() or self._refresh_token", "pass", f'{OAUTH} -k "share_one_app"'),
    Mutant("return token if self._first in (None, first) else None", "return token", f'{OAUTH} -k "begins_anew"'),
    Mutant(
        "if decoded is None and not self._include_secrets:", "if False:",
        f'{ANSWERS} -k "stay_at_stripe_unless"'),
    Mutant(
        "os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)", "os.open(note, os.O_WRONLY | os.O_CREAT)",
        f"{SECRETS} -k through_a_link"),
    Mutant("console.push_render_hook(_CleanHook())", "console", f"{SECRETS} -k terminal_escapes"),
    Mutant(
        "if not (status == 200 or status == 429 or status >= 500):",
        "if not (status == 200 or status >= 500):",
        f'{OAUTH} -k "exchange_that_may_pass"',
    ),
    Mutant('if parts.scheme == "http" and not is_loopback(url):', "if False:", f'{REQUESTS} -k "https_or_loopback"'),
    Mutant('mode == "live")', 'mode == "test")', f'{KEYS} -k "keys_say"'),
    Mutant(
        "self._clock() >= self._ends - self._margin",
        "self._clock() >= self._ends",
        f'{OAUTH} -k "renewed_shortly"',
    ),
    Mutant(
        "await asyncio.wait([exchange])  # half",
        "exchange.cancel()  # half",
        f'{OAUTH} -k "before_the_run_is_cancelled"',
    ),
    Mutant(
        "                return  # it was renewed while we waited\n",
        "                pass\n",
        f'{OAUTH} -k "share_one_exchange"',
    ),
    # asking
    Mutant("trust_env=False,", "trust_env=True,", f'{REQUESTS} -k "only_credential"'),
    Mutant("is_loopback(url) or proxy_bypass", "proxy_bypass", f'{REQUESTS} -k "proxies"'),
    Mutant("if max(received, size) > limit:", "if received > limit:", f'{ANSWERS} -k "as_large_as_the_limit"'),
    Mutant(
        "isinstance(outcome.error, AuthenticationError) and not renewed",
        "isinstance(outcome.error, AuthenticationError) and False",
        f'{OAUTH} -k "that_stripe_refuses"',
    ),
    Mutant("attempt >= most", "attempt > most", f'{RETRIES} -k "asking_again_ends"'),
    Mutant("FIRST_WAIT * 2 ** (attempt - 1)", "FIRST_WAIT * 2 ** attempt", f'{RETRIES} -k "waits_double"'),
    Mutant("    if status == 401:\n        return False\n", "", f'{RETRIES} -k "cannot_pass"'),
    Mutant("return status in (408, 409) or status >= 500", "return status >= 500", f'{RETRIES} -k "may_pass"'),
    # lists to their end
    Mutant("ids[-1] in used or known.issuperset(ids):", "ids[-1] in used:", f'{PAGES} -k "another_order"'),
    Mutant(
        'if url.startswith("/") and not url.startswith("//"):',
        'if url.startswith("/"):',
        f'{PAGES} -k "another_host_are_refused"',
    ),
    # what a refusal means
    Mutant(
        'if status == 429 or (status == 400 and code == "rate_limit"):',
        "if status == 429:",
        f'{ERRORS} -k "every_refusal"',
    ),
    Mutant(
        'if code == "more_permissions_required" or _NOT_PERMITTED in said:',
        'if code == "more_permissions_required":',
        f'{ERRORS} -k "every_refusal"',
    ),
    Mutant("in said and path.startswith(closed.path)", "in said", f'{ERRORS} -k "every_refusal"'),
    Mutant('"param": facts["param"] or "starting_after"', '"param": facts["param"]', f'{ERRORS} -k "every_refusal"'),
    # limits
    Mutant(
        "self.flow = max(self.flow / 2, self.full / 32)",
        "self.flow = max(self.flow / 2, self.full / 4)",
        f'{LIMITS} -k "32nd"',
    ),
    Mutant(
        'None if reason in ("global-rate", "global-concurrency") else',
        'None if reason == "global-rate" else',
        f'{LIMITS} -k "what_was_told"',
    ),
    Mutant("                whole.leave()\n", "", f'{LIMITS} -k "no_place_of_the_account"'),
    Mutant('    if reason == "lock_timeout":\n            return\n', "    pass\n", f'{LIMITS} -k "too_fast"'),
    Mutant("elif self.under_way >= room:", "elif self.under_way > room:", f'{LIMITS} -k "under_way"'),
    Mutant("max(1, self.under_way // 2)", "max(1, self.under_way - 1)", f'{LIMITS} -k "under_way"'),
    Mutant("deque(maxlen=int(limit))", "deque(maxlen=int(2 * limit))", f'{LIMITS} -k "limits_allow or share_allows"'),
    Mutant("self.MOST - now) if full", "self.MOST + now) if full", f'{LIMITS} -k "limits_allow"'),
    Mutant("if name and whose == account and", "if name and", f'{LIMITS} -k "larger_share or read_together"'),
    Mutant("account_limit = LIVE if self.livemode else TEST", "account_limit = LIVE", f'{LIMITS} -k "share_allows"'),
    # spans of a list
    Mutant(
        "for start, end in sorted(gaps) if start < end",
        "for start, end in sorted(gaps)[1:] if start < end",
        f'{SWEEPS} -k "left_over"',
    ),
    Mutant(
        "    if since is None:\n        cursor.start_value = cursor.initial_value",
        "    if since is None:\n        pass",
        'tests/test_first_load.py -k "portions_by_any_marker"',
    ),
    Mutant(
        "missing = missing if state.unfinished is None else min(missing, state.unfinished)",
        "missing = missing",
        'tests/test_created_marker.py -k "cut_short"',
    ),
    Mutant(
        "self._left.add(table)",
        "pass",
        'tests/test_created_marker.py -k "cut_short"',
    ),
    Mutant("low - self.range.exclusive", "low + self.range.exclusive", f'{SWEEPS} -k "leaves_out_its_second"'),
    # a first load that was cut short
    Mutant("(low, min(high, self.until)) for", "(low, high) for", f'{PORTIONS} -k "what_came_since and 0"'),
    Mutant("[(self.until, until)] if until > self.until else []", "[]", f'{PORTIONS} -k "what_came_since and 12"'),
    Mutant("(ask.since, ask.until) == (begun.start, begun.end)", "True", f'{PORTIONS} -k "otherwise and without_end"'),
    Mutant("now - begun.position <", "begun.position - now <", f'{PORTIONS} -k "long_ago and 30"'),
    # rows
    Mutant('if kind != "text" or not _has_nul(made):', "if True:", f'{UNDECLARED} -k "nul_becomes"'),
    Mutant("number.adjusted() >= precision - scale", "number.adjusted() > precision - scale", f"{DECLARED} -k misfit"),
    Mutant("abs(value) <= 2**53", "abs(value) <= 2**54", f'{DECLARED} -k "misfit"'),
    Mutant('r"0|-?[1-9]\\d{0,18}", text, re.ASCII', 'r"-?\\d{1,19}", text, re.ASCII', f'{DECLARED} -k "misfit"'),
    # verifying and migrating
    Mutant('if second.verdict.status != "ok":', "if False:", f'{PROOF} -k "second_look_cannot"'),
    Mutant(
        "json.dumps(json.loads(text), sort_keys=True)",
        "json.dumps(json.loads(text), sort_keys=True).lower()",
        f'{PROOF} -k "case_of_a_letter"',
    ),
    Mutant("SELECT max(rowid)", "SELECT min(rowid)", "tests/test_scratch.py"),
)
