"""One file a command: `EXAMPLES`, `configure(parser)` and `run(arguments) -> exit code`."""
