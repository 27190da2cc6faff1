"""`hello check`: sends visitors to any deployment and judges, from the outside, whether it keeps its promise.

A run goes one way: load → client → history → judge → verdict → report, page.
"""
