"""What holds isobench to its word: other tools, simulations, faults, whole hosts. Not part of the package."""
