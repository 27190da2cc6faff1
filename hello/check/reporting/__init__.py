"""What a verdict says: in words, as JSON, as a page, and while the run goes on."""
