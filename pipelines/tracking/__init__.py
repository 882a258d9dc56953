"""MLflow: the results of a run where a team looks for them. Nothing of a run depends on it."""
