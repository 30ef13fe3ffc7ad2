"""The network process's side of the spawner: orders out, facts back."""
