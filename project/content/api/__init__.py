"""The API of the reference project, one module a system."""
