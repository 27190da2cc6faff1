"""Makes the visits and records their answers."""
