"""Judges a run by its records alone: which promises were broken, what was lost, and what cannot be known.

Nothing here accuses without proof. Request a is before request b only if a's answer had arrived strictly before b was
sent; otherwise they are concurrent, and any order is legal. So what arrived before the oldest request under way was
sent need never be compared again: the highest number and counts of it are enough.
"""
