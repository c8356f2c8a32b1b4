"""The faults that isobench must survive, injected for real. `python -m faults [ROW…]`, or `nox -s faults`."""
