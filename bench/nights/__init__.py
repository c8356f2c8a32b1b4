"""Many runs over time: their history, its trends and steps, and what is kept of old runs."""
