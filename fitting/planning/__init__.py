"""How many tries it takes to learn something: intervals, comparisons and laws, before any data."""
