"""One file per command of `hearth`; each has `main(argv) -> int`, the exit code."""
