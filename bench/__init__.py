"""How fast the server is, beside its peers: `python -m bench`."""
