"""This host: its facts, interference, and why something is not possible here."""
