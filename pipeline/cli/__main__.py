"""``python -m oceanfill.pipeline.cli``: the command."""

import sys

from .main import main

sys.exit(main())
