"""How a starting app server is found to be ready."""
