"""`python -m stripe_source.cli` is `stripe-source`."""
from __future__ import annotations

import sys

from stripe_source.cli.main import main

sys.exit(main())
