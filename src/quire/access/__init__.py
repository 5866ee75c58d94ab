"""Users, passwords, and who may do what."""
