"""A run: what is chosen, planned, measured, said meanwhile, and left in order."""
