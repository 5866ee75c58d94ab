"""The commands of `quire`, one module each: `add_parser(subparsers)` and `run(arguments) -> int`."""
