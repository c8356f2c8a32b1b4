"""The results of a run (values, estimates, verdicts), and the comparison of two sets of runs."""
