"""A deployment on this machine, without an account: AWS played by moto's server, Lambda by a
runtime of ours. What Kennel runs against it is what it runs against AWS.
"""

from __future__ import annotations
