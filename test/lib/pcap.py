# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Captures by hand (classic pcap, little-endian), and frames to put into them."""
import random
import struct

_FILE = struct.Struct('<IHHiIII')
_RECORD = struct.Struct('<IIII')
HEADER_SIZE = _FILE.size
RECORD_SIZE = _RECORD.size


def write(path, frames):
    """Write a capture of Ethernet frames."""
    with open(path, 'wb') as file:
        file.write(_FILE.pack(0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            file.write(_RECORD.pack(number // 1000000, number % 1000000, len(frame), len(frame)))
            file.write(frame)


def read(path):
    """The frames of a capture in either time resolution; a cut record at the end is an error."""
    with open(path, 'rb') as file:
        data = file.read()
    magic = struct.unpack_from('<I', data)[0]
    if magic not in (0xa1b2c3d4, 0xa1b23c4d):
        raise ValueError(f'{path}: not a little-endian capture')
    frames = []
    at = HEADER_SIZE
    while at < len(data):
        _, _, captured, length = _RECORD.unpack_from(data, at)
        at += RECORD_SIZE
        if captured != length or at + captured > len(data):
            raise ValueError(f'{path}: frame {len(frames)} is cut')
        frames.append(data[at:at + captured])
        at += captured
    return frames


def size(frames):
    """Bytes of a capture that holds these frames."""
    return HEADER_SIZE + sum(RECORD_SIZE + len(frame) for frame in frames)


def frames(count, seed, shortest=60, longest=9000):
    """Frames that all differ: every edge of a buffer first, then lengths at random, most of them short."""
    rng = random.Random(seed)
    edges = [length for base in (64, 128, 256, 1514, 1518, 2048, 4096, 6144, 8192, shortest, longest)
             for length in range(base - 4, base + 5)]
    lengths = [length for length in edges if shortest <= length <= longest][:count]
    while len(lengths) < count:
        top = rng.choice((128, 600, 1514, longest))
        lengths.append(rng.randint(shortest, max(shortest, min(top, longest))))
    out = []
    for number, length in enumerate(lengths):
        kind = rng.choice((b'\x08\x00', b'\x86\xdd', b'\x88\xb5', b'\x81\x00'))
        head = b'\x02\x00\x00\x00\x00\x02' + b'\x02\x00\x00\x00\x00\x01' + kind + struct.pack('<IQ', number, seed)
        out.append((head + rng.randbytes(length))[:length])
    return out


def difference(want, got):
    """None when equal, else where they part, in words."""
    for number, (one, other) in enumerate(zip(want, got)):
        if one != other:
            where = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
            return (f'frame {number}: {len(one)} bytes sent, {len(other)} received, they part at byte {where}')
    if len(want) != len(got):
        return f'{len(want)} frames sent, {len(got)} received'
    return None
