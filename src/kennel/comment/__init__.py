"""The text for a pull request: a run or a bundle beside the one it would replace.

`side` reads what there is of each, `pairs` tests them photo by photo, `changes` says what else
differs, `told` puts it together, `text` writes it down as Markdown that a stranger's words cannot
use.
"""

from kennel.comment.side import Side, side_of
from kennel.comment.text import MARKER, MOST_BYTES, text_of
from kennel.comment.told import Comment, comment_on, document

__all__ = [
    "MARKER",
    "MOST_BYTES",
    "Comment",
    "Side",
    "comment_on",
    "document",
    "side_of",
    "text_of",
]
