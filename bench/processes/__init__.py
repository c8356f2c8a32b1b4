"""Programs and processes of this host: starting, finding, counting, ending them."""
