"""Scores of a run -> what to train on: standings, candidates, distinct texts, difficulty."""
