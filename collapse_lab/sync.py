"""`python -m collapse_lab.sync` is the command `collapse-lab sync`."""

import sys

from collapse_lab.cli.sync import main

if __name__ == "__main__":
    sys.exit(main())
