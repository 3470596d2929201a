"""`python -m bridge`: the command `recovery-bridge` where scripts are not on the path."""

from bridge.cli import main

if __name__ == "__main__":
    main()
