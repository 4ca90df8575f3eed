"""The rows of a checkpoint, read as docs/checkpoint-format.md says, by code that shares
nothing with the program."""
import os
import struct

MAGIC = b"\xd2RHSH\r\n\x1a"
DESCRIPTIONS, DESCRIPTION, CHECKSUM = 40, 96, 8
BLOCK, END = 24, 40


class Damaged(Exception):
    pass


class Row(bytes):
    """Weights and state of a row. Rows are compared by their bits."""
    width = 0

    def state(self):
        floats = struct.unpack("<%df" % (len(self) // 4), self)
        return floats[self.width:]


def describe(data, at):
    name = data[at:at + 64].rstrip(b"\0").decode()
    _, _, width, state_width, rows = struct.unpack_from("<IIIIQ", data, at + 64)
    kind = type("RowOf" + name, (Row,), {"width": width})
    return name, 4 * (width + state_width), kind, rows


def read_shard(path, tables):
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != MAGIC:
        raise Damaged("%s is no shard file" % path)
    header, _, _, count = struct.unpack_from("<IIII", data, 12)
    described = [describe(data, DESCRIPTIONS + DESCRIPTION * i) for i in range(count)]
    for name, _, _, _ in described:
        tables.setdefault(name, {})
    at = header
    while data[at:at + 4] == b"RBLK":
        _, table, rows, size = struct.unpack_from("<IIII", data, at + 4)
        name, row_bytes, kind, _ = described[table]
        for row in range(at + BLOCK, at + BLOCK + size, 8 + row_bytes):
            key = struct.unpack_from("<Q", data, row)[0]
            if key in tables[name]:
                raise Damaged("%s has key %d of table %s twice" % (path, key, name))
            tables[name][key] = kind(data[row + 8:row + 8 + row_bytes])
        at += BLOCK + size + -size % 8 + CHECKSUM
    if data[at:at + 4] != b"REND" or len(data) != at + END:
        raise Damaged("%s has something else than a block at %d" % (path, at))


def newest_tables(folder):
    """{table: {key: row}} of the newest checkpoint in a directory of them."""
    whole = sorted(name for name in os.listdir(folder)
                   if os.path.exists(os.path.join(folder, name, "manifest")))
    if not whole:
        raise Damaged("%s has no checkpoint" % folder)
    folder, tables = os.path.join(folder, whole[-1]), {}
    for name in sorted(os.listdir(folder)):
        if name.startswith("shard-"):
            read_shard(os.path.join(folder, name), tables)
    return tables
