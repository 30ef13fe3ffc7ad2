"""Runs the whole server as its users do, and checks after each test that nothing was lost."""
