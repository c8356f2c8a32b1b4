"""Checks of isobench's claims: other tools, simulations, injected faults, whole hosts. Not part of the package."""
