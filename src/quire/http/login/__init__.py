"""Users that others identify: a trusted proxy, an identity provider."""
