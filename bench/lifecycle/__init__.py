"""A run on its host: one at a time; everything that it creates has its name, and nothing is left behind."""
