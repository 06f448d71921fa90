"""`python -m kennel` is `kennel`."""

import sys

from kennel.cli import main

if __name__ == "__main__":
    sys.exit(main())
