"""One file per command that changes or measures weights: `run(argv) -> exit code`."""
