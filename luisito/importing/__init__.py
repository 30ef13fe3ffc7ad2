"""What other servers are told, read and written anew as site files; nothing that is read is run."""
