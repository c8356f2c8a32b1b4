"""What can be measured, what was chosen, and the plan of the run."""
