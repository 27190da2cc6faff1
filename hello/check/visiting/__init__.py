"""Visits: who goes where, when and over which connection, and what comes back."""
