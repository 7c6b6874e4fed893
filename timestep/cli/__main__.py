"""`python -m timestep.cli` is the `timestep` command."""

import sys

from timestep.cli import main

sys.exit(main())
