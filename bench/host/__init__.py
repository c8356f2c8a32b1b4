"""What is true of this host: facts, interference, and why something is not possible here."""
