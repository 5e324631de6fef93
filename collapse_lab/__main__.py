"""`python -m collapse_lab` is the command `collapse-lab`."""

from collapse_lab.cli.main import main

if __name__ == "__main__":
    main()
