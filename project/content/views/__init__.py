"""The pages of the reference project, a module for each system."""
