"""HTTP: parse, authorise, call, render. What is true is decided further down; one table maps errors to status codes."""
