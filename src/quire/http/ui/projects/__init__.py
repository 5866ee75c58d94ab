"""Pages of projects: their data as pure functions of views and metadata, and their handlers."""
