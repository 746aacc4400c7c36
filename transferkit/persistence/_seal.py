"""Digest and signature of a model file, kept inside it: they are computed with their own places zeroed."""

import hashlib
import hmac

LENGTH = 64  # hexadecimal characters of SHA-256 and of HMAC-SHA256
_ZEROS = b"0" * LENGTH
_CHUNK = 1 << 20


def find_places(header, seals):
    """Return where the values of the seals stand in the header, as offsets from the start of the file.

    Parameters
    ----------
    header : bytes
        The first part of the file, its length field included.
    seals : dict of str to str
        "digest" and "signature" as the header has them.

    Returns
    -------
    places : dict of str to int
        Offset of each value.
    """
    return {name: header.index(f'"{name}":"{value}"'.encode()) + len(name) + 4 for name, value in seals.items()}


def compute_seals(file, places, *, key=None, signature=None):
    """Return the digest of an open file and, with a key, its signature.

    Parameters
    ----------
    file : binary file
        The whole model file, readable.
    places : dict of str to int
        Offsets of the seals, which count as zeros.
    key : bytes, default=None
        Secret of the signature.
    signature : str, default=None
        The signature that the digest vouches for; by default the one computed.

    Returns
    -------
    seals : dict of str to str
        HMAC-SHA256 of the content (or zeros without a key) under "signature"; SHA-256 of the content's SHA-256 and the
        signature under "digest".
    """
    content = hashlib.sha256()
    signing = hmac.new(key, digestmod="sha256") if key is not None else None
    file.seek(0)
    head = bytearray(file.read(max(places.values()) + LENGTH))
    for place in places.values():
        head[place : place + LENGTH] = _ZEROS
    chunk = bytes(head)
    while chunk:
        content.update(chunk)
        if signing is not None:
            signing.update(chunk)
        chunk = file.read(_CHUNK)
    computed = signing.hexdigest() if signing else _ZEROS.decode()
    vouched = (computed if signature is None else signature).encode()
    return {"signature": computed, "digest": hashlib.sha256(content.digest() + vouched).hexdigest()}
