"""Sets to train on, from the samples of a run: what is asked, chosen, read, and written."""
