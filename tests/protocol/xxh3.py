"""XXH3 with 64 bits and seed 0 (Yann Collet, https://github.com/Cyan4973/xxHash)."""

import struct

_MASK = (1 << 64) - 1
_PRIMES_32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
           0x27D4EB2F165667C5)
_START = (_PRIMES_32[2], *_PRIMES[:4], _PRIMES_32[1], _PRIMES[4], _PRIMES_32[0])
_SECRET = bytes.fromhex("""
    b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221
    b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8
    a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb
    170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e
""")
_STRIPE, _STRIPES_OF_BLOCK = 64, 16
_BLOCK = _STRIPE * _STRIPES_OF_BLOCK


def _u64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


def _u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def _fold(a, b):
    product = a * b
    return product & _MASK ^ product >> 64


def _avalanche(value):
    value ^= value >> 37
    value = value * 0x165667919E3779F9 & _MASK
    return value ^ value >> 32


def _avalanche_64(value):
    value = (value ^ value >> 33) * _PRIMES[1] & _MASK
    value = (value ^ value >> 29) * _PRIMES[2] & _MASK
    return value ^ value >> 32


def _rotate(value, by):
    return (value << by | value >> (64 - by)) & _MASK


def _mix(data, at, secret):
    return _fold(_u64(data, at) ^ _u64(_SECRET, secret),
                 _u64(data, at + 8) ^ _u64(_SECRET, secret + 8))


def digest(data):
    """The hash of some bytes."""
    length = len(data)
    if length <= 16:
        return _short(data, length)
    if length <= 128:
        total = length * _PRIMES[0]
        for n in range((length - 1) // 32, -1, -1):
            total += _mix(data, 16 * n, 32 * n) + _mix(data, length - 16 * (n + 1), 32 * n + 16)
        return _avalanche(total & _MASK)
    if length <= 240:
        total = length * _PRIMES[0] + sum(_mix(data, 16 * n, 16 * n) for n in range(8))
        total = _avalanche(total & _MASK) + _mix(data, length - 16, 119)
        total += sum(_mix(data, 16 * n, 16 * (n - 8) + 3) for n in range(8, length // 16))
        return _avalanche(total & _MASK)
    return _long(data, length)


def _short(data, length):
    if length > 8:
        low = _u64(data, 0) ^ _u64(_SECRET, 24) ^ _u64(_SECRET, 32)
        high = _u64(data, length - 8) ^ _u64(_SECRET, 40) ^ _u64(_SECRET, 48)
        turned = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche((length + turned + high + _fold(low, high)) & _MASK)
    if length >= 4:
        value = _u32(data, length - 4) + (_u32(data, 0) << 32)
        value ^= _u64(_SECRET, 8) ^ _u64(_SECRET, 16)
        value ^= _rotate(value, 49) ^ _rotate(value, 24)
        value = value * 0x9FB21C651E98DF25 & _MASK
        value ^= (value >> 35) + length
        value = value * 0x9FB21C651E98DF25 & _MASK
        return value ^ value >> 28
    if length > 0:
        value = data[0] << 16 | data[length >> 1] << 24 | data[-1] | length << 8
        return _avalanche_64(value ^ _u32(_SECRET, 0) ^ _u32(_SECRET, 4))
    return _avalanche_64(_u64(_SECRET, 56) ^ _u64(_SECRET, 64))


def _accumulate(sums, data, at, secret):
    words = struct.unpack_from("<8Q", data, at)
    keys = struct.unpack_from("<8Q", _SECRET, secret)
    for n, (word, key) in enumerate(zip(words, keys)):
        key ^= word
        sums[n ^ 1] += word
        sums[n] += (key & 0xFFFFFFFF) * (key >> 32)


def _long(data, length):
    sums = list(_START)
    blocks = (length - 1) // _BLOCK
    for block in range(blocks):
        for stripe in range(_STRIPES_OF_BLOCK):
            _accumulate(sums, data, block * _BLOCK + stripe * _STRIPE, 8 * stripe)
        for n, total in enumerate(sums):
            total &= _MASK
            sums[n] = (total ^ total >> 47 ^ _u64(_SECRET, 128 + 8 * n)) * _PRIMES_32[0] & _MASK
    for stripe in range((length - 1 - blocks * _BLOCK) // _STRIPE):
        _accumulate(sums, data, blocks * _BLOCK + stripe * _STRIPE, 8 * stripe)
    _accumulate(sums, data, length - _STRIPE, 121)
    total = length * _PRIMES[0]
    for n in range(0, 8, 2):
        total += _fold((sums[n] & _MASK) ^ _u64(_SECRET, 11 + 8 * n),
                       (sums[n + 1] & _MASK) ^ _u64(_SECRET, 19 + 8 * n))
    return _avalanche(total & _MASK)
