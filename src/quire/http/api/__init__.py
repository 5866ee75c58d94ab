"""The OpenAPI document, and the interface of old clients."""
