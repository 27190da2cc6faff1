"""`hello check`: visits any deployment and judges from outside whether it keeps its promise.

A run flows one way: visiting → history → judging → reporting. `judging` and `visiting` do not know each other.
"""
