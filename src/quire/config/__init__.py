"""Settings: one table for flags, environment and TOML."""
