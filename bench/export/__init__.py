"""A run in other tools' formats."""
