"""Publishing sessions: the Upload API 2.0 (PEP 694, draft)."""
