"""Reports a verdict: as text, JSON, a page or metrics, at the end or while the run goes on."""
