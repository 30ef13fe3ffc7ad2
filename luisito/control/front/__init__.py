"""ADMIN_LISTEN: the page, and the control socket's resources, for browsers and for Prometheus."""
