"""Which bundle is the champion, and since when: bundles and an append-only history, in a folder or
in S3. Standard library only.

    registry.json                   what this is
    bundles/<bundle_id>-<digits>/   a verified copy; the digits are of its bundle.json's sha256, and
                                    of its model.sig's where it is signed
    history/000001.json ...         one entry each promotion or rollback, chained by sha256

The champion is what the newest entry says. Nothing else is ever written to make it so, and no file
is changed once it is there.
"""

from kennel.errors import KennelError


class RegistryError(KennelError):
    """A registry cannot be reached, read or written, or refuses a bundle."""
