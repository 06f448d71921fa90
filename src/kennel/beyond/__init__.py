"""Beyond one machine: the only room that knows how a Ray cluster is joined, looked at, and heard.

What is done there belongs to the rooms that do it on one machine.
"""
