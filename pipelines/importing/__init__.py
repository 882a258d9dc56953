"""What people already have, turned into a run: samples, counts and the logs of other tools."""
