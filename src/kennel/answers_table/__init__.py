"""Answers for very many photos as one table, whole or not there at all. Stdlib, and pyarrow where
it is Parquet.

row      one photo's answer, or why there is none
part     what has been answered so far, kept so that a killed run goes on
formats  CSV, JSON Lines, Parquet
"""

from kennel.answers_table.formats import FORMATS, check_format
from kennel.answers_table.part import Begun, Growing, growing, part_of
from kennel.answers_table.row import Row

__all__ = ["FORMATS", "Begun", "Growing", "Row", "check_format", "growing", "part_of"]
