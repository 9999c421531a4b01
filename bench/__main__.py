"""`python -m bench` is the `voxgrid` command."""

from bench.cli import main

if __name__ == "__main__":
    main()
