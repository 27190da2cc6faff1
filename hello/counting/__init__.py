"""Group commit: visitors wait in a queue, which the counter takes to the store batch by batch.

It knows nothing of HTTP, nor of how a store keeps its count.
"""
