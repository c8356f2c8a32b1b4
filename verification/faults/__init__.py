"""The faults that isobench must survive, injected for real. `python -m verification.faults [ROW…]`, or
`nox -s faults`."""
