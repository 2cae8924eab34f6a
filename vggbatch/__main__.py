"""`python -m vggbatch`."""

from vggbatch.cli import main

if __name__ == "__main__":
    main()
