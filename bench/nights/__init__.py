"""Many runs over time: their history, the trends and steps in it, and what is kept of old ones."""
