"""Event files: read back by a parser of their own, and by TensorBoard where it is."""

import struct

import pytest

from harness.report.events import checksum, event_file

ROWS = [("train/loss", 1, 0.5, 0.25), ("val/score", 300, 2.0, -1.5)]


def records(data):
    """Yield the payload of each record after checking its lengths and checksums."""
    at = 0
    while at < len(data):
        length, check = struct.unpack_from("<QI", data, at)
        assert check == checksum(data[at : at + 8])
        payload = data[at + 12 : at + 12 + length]
        (check,) = struct.unpack_from("<I", data, at + 12 + length)
        assert check == checksum(payload)
        yield payload
        at += 16 + length


def fields(message):
    """Parse one level of a protocol buffer: {number: value}."""
    at, found = 0, {}

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value = varint()
        elif kind == 2:
            length = varint()
            value = message[at : at + length]
            at += length
        else:
            form = {1: "<d", 5: "<f"}[kind]
            (value,) = struct.unpack_from(form, message, at)
            at += struct.calcsize(form)
        found[tag >> 3] = value
    return found


def test_an_event_file_says_what_was_put_in():
    first, *others = [fields(payload) for payload in records(event_file(100.0, ROWS))]
    assert first == {1: 100.0, 3: b"brain.Event:2"}
    for event, (tag, step, seconds, value) in zip(others, ROWS, strict=True):
        assert (event[1], event[2]) == (100.0 + seconds, step)
        named = fields(fields(event[5])[1])
        assert named == {1: tag.encode(), 2: value}


def test_the_checksum_is_that_of_the_standard():
    # RFC 3720, appendix B.4: CRC-32C of 32 zero bytes is 0x8a9136aa
    crc = 0x8A9136AA
    want = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert checksum(bytes(32)) == want


def test_tensorboard_reads_it(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    path = tmp_path / "events.out.tfevents.x"
    path.write_bytes(event_file(100.0, ROWS))
    events = list(EventFileLoader(str(path)).Load())
    assert [event.step for event in events[1:]] == [1, 300]
    assert [event.summary.value[0].tag for event in events[1:]] == [r[0] for r in ROWS]
