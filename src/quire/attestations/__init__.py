"""Attestations of uploads (PEP 740): verified against the publisher that uploads, or refused."""
