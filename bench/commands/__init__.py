"""One file a command: `HELP`, `configure(parser)` and `run(arguments) -> exit code`."""
