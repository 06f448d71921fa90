"""AWS, played by moto's server in a process of its own, in memory, with what moto leaves out.

moto's services answer. Its CloudFormation passes over types and properties that it does not know,
keeps no record of a failure, and follows no change through references: types are ours where that
matters (`of_*.py`, which do what CloudFormation does, through the services' own APIs), and so is
what becomes of a stack (`engine.py`).
"""

from __future__ import annotations
