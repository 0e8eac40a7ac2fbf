"""`python -m cli` is `wan-studio`."""

import sys

from cli.main import main

sys.exit(main())
