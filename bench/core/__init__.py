"""Foundations: errors, records, text, deadlines, signals, streams."""
