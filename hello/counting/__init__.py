"""Group commit over any store: who waits is in the queue, and the counter takes the queue to the store, batch by batch.

It knows nothing of HTTP, and nothing of how a store keeps its count.
"""
