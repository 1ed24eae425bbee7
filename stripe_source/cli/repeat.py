"""`run --every`: run again and again, also after a failure that another try may mend."""
from __future__ import annotations

import time
from collections.abc import Callable

from stripe_source.destination.dlt_errors import causes_of
from stripe_source.errors import StripeSourceError

FIRST_PAUSE = 5.0  # seconds after a failure, or the usual pause where that is shorter; doubled after each further one
LONGEST_PAUSE = 300.0  # likewise where the usual pause is shorter
REFUSED = 3


def run_again_and_again(
    run: Callable[[], int], pause: float, say: Callable[[str], None], announce: Callable[[str], None]
) -> int:
    """Run until something happens that no further try mends.

    Args:
        run: one run, prints its result; answers with its exit code.
        pause: seconds between two runs.
        say: prints one line about a failure.
        announce: prints one line about the next run.

    Returns:
        The exit code of a run that Stripe refused altogether.

    Raises:
        Exception: what a run raised, where it is about the configuration or the key, or is an error of the program.
    """
    failures = 0
    while True:
        try:
            code = run()
        except Exception as error:
            if not may_be_mended(error):
                raise
            wait = min(FIRST_PAUSE, pause) * 2**failures
            wait = min(wait, max(pause, LONGEST_PAUSE))
            failures = min(failures + 1, 30)
            text = " ".join(str(error).split())
            say(f"{text} Next try at {_in(wait)}; Ctrl-C ends it")
        else:
            if code == REFUSED:
                return code
            failures, wait = 0, pause
            announce(f"Next run at {_in(wait)}; Ctrl-C ends it")
        time.sleep(wait)


def may_be_mended(error: Exception) -> bool:
    """Whether another try may succeed: not where the key, the configuration or the program would have to be changed."""
    from dlt.pipeline.exceptions import PipelineStepFailed

    if any(isinstance(cause, KeyboardInterrupt) for cause in causes_of(error)):
        return False  # dlt makes a signal a failure of the step that it ends
    if isinstance(error, StripeSourceError):
        return error.exit_code not in (2, REFUSED)
    return isinstance(error, (OSError, PipelineStepFailed))


def _in(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
