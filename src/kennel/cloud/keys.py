"""Signatures by a key that lies in AWS KMS and never leaves it."""

from __future__ import annotations

from kennel.cloud import asking, client

FIXES = {
    "NotFoundException": "see KENNEL_APP_KEY: the ARN or alias of the key, in this region",
    "InvalidKeyUsageException": "the key must be RSA_2048 for SIGN_VERIFY: the App's own, imported",
    "KMSInvalidStateException": "the key is disabled, or its material is not imported yet",
}


def sign_by_kms(key: str, message: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256.

    Args:
        key: id, ARN or alias.
        message: at most 4,096 bytes.
    Raises:
        CloudError: there is no such key, or it is not ours to use.
    """
    with asking(f"kms:Sign by {key}", fixes=FIXES):
        answer = client("kms").sign(
            KeyId=key,
            Message=message,
            MessageType="RAW",
            SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
        )
    signature: bytes = answer["Signature"]
    return signature
