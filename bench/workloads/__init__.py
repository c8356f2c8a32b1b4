"""Real programs as workloads: their description, their root file system, and how they are measured."""
