"""Users, passwords, and the rights of users."""
