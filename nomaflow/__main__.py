"""`python -m nomaflow` is `nomaflow`."""

from __future__ import annotations

import sys

from nomaflow.cli import main

sys.exit(main())
