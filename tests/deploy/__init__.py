"""What is in deploy/, started for real or checked against the schemas of those who would start it."""
