"""`python -m tailmetrics`, the same as the command."""

from tailmetrics.cli import main

main()
