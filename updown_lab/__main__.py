"""``python -m updown_lab``."""

import sys

from updown_lab.cli import main

sys.exit(main())
