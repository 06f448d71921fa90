"""Two bundles on the same photos: which photos may judge, what each says of them, and the verdict.

`subject` chooses the photos, `duel` asks both bundles, `gate` turns the outcome into what the
registry records, `document` and `page` write it down.
"""

from kennel.compare.duel import Duel, duel
from kennel.compare.gate import gate_against, gate_alone
from kennel.compare.subject import Subject, choose_photos

__all__ = ["Duel", "Subject", "choose_photos", "duel", "gate_against", "gate_alone"]
