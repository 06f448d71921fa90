"""What was seen beside what the model was validated on: compared, said, and drawn."""

from __future__ import annotations

from kennel.drift.comparison import FALSE_ALARMS, LEAST, Comparison, Row, Score, compare

__all__ = ["FALSE_ALARMS", "LEAST", "Comparison", "Row", "Score", "compare"]
