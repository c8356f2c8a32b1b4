"""A run on its host: one at a time, all that it makes carries its name, and nothing stays."""
