"""What a network process that has yielded and its successor owe each other: leases and clients."""
