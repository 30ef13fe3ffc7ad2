"""Small Django and Flask sites that sleep: how fast they wake, and what they weigh idle."""
