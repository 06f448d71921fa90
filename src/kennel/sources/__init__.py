"""Where photos come from: public sets and archives, fetched, checked and laid out for the index.

`catalogue` says which sets there are, `fetch` brings one, by way of `download` and `archive`. `s3`
keeps a registry of bundles.
"""

from kennel.errors import KennelError


class FetchError(KennelError):
    """An archive cannot be had, is not the one that was asked for, or cannot be trusted."""
