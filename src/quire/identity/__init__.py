"""Identities that other systems vouch for: their JSON Web Tokens, and the keys that prove them."""
