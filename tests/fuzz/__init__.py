"""Coverage-guided fuzzing; docs/testing.md tells how to run it and how to read what it says."""
