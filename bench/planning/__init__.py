"""What can be measured, what of it was chosen, and the plan that this makes."""
