"""What may be asked for at the control socket, a group of resources in each module."""
