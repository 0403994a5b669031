"""The little DER that is needed to find the public key in a certificate as the octets it has there.

A key that was parsed and encoded again may differ from the key whose hash was published (RFC 6698, section
1.1: the SubjectPublicKeyInfo is taken as it is).
"""

_SEQUENCE, _BIT_STRING, _INTEGER, _VERSION = 0x30, 0x03, 0x02, 0xA0


def public_key_of(certificate: bytes) -> bytes | None:
    """The SubjectPublicKeyInfo of a DER certificate (RFC 5280, section 4.1), None if it is not one."""
    outer = _elements(certificate)
    if [tag for tag, _ in outer] != [_SEQUENCE]:
        return None
    body = _elements(_content(outer[0][1]))
    if [tag for tag, _ in body] != [_SEQUENCE, _SEQUENCE, _BIT_STRING]:
        return None
    fields = _elements(_content(body[0][1]))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    if [tag for tag, _ in fields[:6]] != [_INTEGER, *[_SEQUENCE] * 5]:
        return None
    key = fields[5][1]
    return key if is_public_key(key) else None


def is_public_key(data: bytes) -> bool:
    """Whether this has the shape of a SubjectPublicKeyInfo."""
    outer = _elements(data)
    if [tag for tag, _ in outer] != [_SEQUENCE]:
        return False
    return [tag for tag, _ in _elements(_content(outer[0][1]))] == [_SEQUENCE, _BIT_STRING]


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The tags and whole encodings of the elements that make up `data`; none if it is not made up of such."""
    found = []
    while data:
        end = _end(data)
        if end is None:
            return []
        found.append((data[0], data[:end]))
        data = data[end:]
    return found


def _content(element: bytes) -> bytes:
    first = element[1]
    return element[2 + (first & 0x7F if first & 0x80 else 0) :]


def _end(data: bytes) -> int | None:
    """Where the first element ends (X.690, section 8.1.3; definite lengths of up to four octets)."""
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        return None
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        if not 2 < start <= 6 or len(data) < start:
            return None
        length = int.from_bytes(data[2:start])
    return start + length if start + length <= len(data) else None
