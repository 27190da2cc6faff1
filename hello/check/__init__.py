"""`hello check`: sends visitors to any deployment and judges, from the outside, whether it keeps its promise.

A run goes one way: visiting → history → judging → reporting. `judging` and `visiting` know nothing of each other.
"""
