"""From the records of a run alone: which promises were broken, what was lost, and what cannot be known.

Nothing here accuses without proof. Request a is before request b only if a's answer had arrived strictly before b was
sent; all else is concurrent, where any order is legal. So what arrived before the oldest request that is under way was
sent need never be compared again: it is kept as a highest number and as counts.
"""
