# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: running the program, and files in its formats (no NumPy)."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

ASSAY = os.environ["ASSAY_BINARY"]
SOURCE = pathlib.Path(os.environ["ASSAY_SOURCE"])
SANITIZED = bool(os.environ.get("ASSAY_SANITIZED"))


def npy(descr, shape, data, fortran=False):
    """A .npy file, version 1.0."""
    header = "{'descr': %r, 'fortran_order': %r, 'shape': %s, }" % (descr, fortran, tuple(shape))
    header = header.ljust((64 - (10 + len(header) + 1) % 64) % 64 + len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def f32(values, shape=None):
    return npy("<f4", shape or (len(values),), struct.pack("<%df" % len(values), *values))


def read_npy(path):
    """(descr, shape, bytes)"""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<H", raw[8:10])
    header = eval(raw[10:10 + length].decode())  # a file this test had written for it
    return header["descr"], header["shape"], raw[10 + length:]


def read_safetensors(path):
    """(metadata, {name: (dtype, shape, bytes)})"""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    data = raw[8 + length:]
    metadata = header.pop("__metadata__")
    return metadata, {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])])
                      for name, t in header.items()}


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def run_assay(self, *arguments, **options):
        return subprocess.run([ASSAY, *map(str, arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300, **options)

    def passes(self, *arguments, **options):
        result = self.run_assay(*arguments, **options)
        self.assertEqual(result.returncode, 0, (arguments, result.stderr))
        return result

    def refuses(self, *arguments, says="", leaves=(), **options):
        """Exit 4, one sentence on stderr that contains `says`, no file but `leaves` in the folder."""
        before = {p.name for p in self.folder.iterdir()}
        result = self.run_assay(*arguments, **options)
        self.assertEqual(result.returncode, 4, (arguments, result.stdout, result.stderr))
        self.assertEqual(result.stdout, "", arguments)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, (arguments, result.stderr))
        self.assertTrue(lines[0].startswith("assay: "), lines[0])
        self.assertIn(says, lines[0])
        after = {p.name for p in self.folder.iterdir()}
        self.assertEqual(after - before, set(leaves), arguments)
        return lines[0]
