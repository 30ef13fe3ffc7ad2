"""Connections: the Switchboard, Streams, listeners and deadlines."""
