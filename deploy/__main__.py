"""`python -m deploy`: the same as `wan-studio deploy`."""

from deploy.cli import main

raise SystemExit(main())
