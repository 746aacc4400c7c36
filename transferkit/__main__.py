"""Lets ``python -m transferkit`` be the command line."""

from transferkit.cli import main

if __name__ == "__main__":
    main()
