"""The statistics behind every verdict: paired estimates, their intervals, and what makes them wider."""
