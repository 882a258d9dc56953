"""`python -m pipelines` is the passlaw command."""

from pipelines.cli import main

main()
