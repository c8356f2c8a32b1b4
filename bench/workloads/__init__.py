"""Real programs: what a workload is, how its root file system is made, and how it is measured in an environment."""
