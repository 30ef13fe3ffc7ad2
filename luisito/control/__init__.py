"""The operators' socket: who may ask what, and the answers."""
