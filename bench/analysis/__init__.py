"""What a run says: its values, estimates and verdicts, and how two sets of runs compare."""
