"""The application: routes, middleware, errors, and the parts that all handlers share."""
