"""The application: routes, middleware, errors, and what all handlers share."""
