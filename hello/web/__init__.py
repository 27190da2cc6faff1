"""HTTP: what a connection may cost, which request is answered by what, the page and its stream.

A request goes one way: connection → routes → visits → the counter, and back.
"""
