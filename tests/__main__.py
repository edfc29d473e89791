"""`python -m tests` installs a browser if there is none, and runs every test; further words go to pytest."""

from __future__ import annotations

import os
import sys

# before anything imports torch: threads that spin while waiting make busy machines crawl
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

from tests import browser

if __name__ == "__main__":
    browser.ensure()
    sys.exit(pytest.main(sys.argv[1:] or ["-n", "2", "--dist", "loadfile"]))
