"""HTTP: parse, authorise, call, render. The layers below decide what is true; one table maps errors to status codes."""
