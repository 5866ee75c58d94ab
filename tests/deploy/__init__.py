"""The files of deploy/, started for real or checked against the schemas of the programs that start them."""
