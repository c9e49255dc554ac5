# SPDX-License-Identifier: Apache-2.0
"""tools/attach/assay_attach.py as the harness sees it: this test is the host of proptests/wire.h."""
import ctypes
import fcntl
import mmap
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ["ASSAY_SOURCE"])
sys.path.insert(0, str(SOURCE / "tools" / "attach"))
try:
    import numpy
except ImportError:
    print("skipped: this Python has no NumPy (set ASSAY_PYTHON to one that has)")
    sys.exit(77)
import assay_attach as wire

DEVICE = pathlib.Path(__file__).with_name("attach_device.py")
CLAIMS, RUNS, TENSORS, GUARDS, DATA = 4096, 40960, 45056, 49152, 65536


class Host:
    """A device process and the segment it shares with us."""

    def __init__(self, version=1, entries=64):
        self.ours, theirs = socket.socketpair()
        self.memory = os.memfd_create("segment")
        os.ftruncate(self.memory, 1 << 20)
        self.map()
        self.header.magic, self.header.version = 0x59415341, version
        self.header.claims, self.header.most_claims, self.header.claim_size = CLAIMS, entries, 320
        # By way of numbers that are neither 3 nor 4, which are taken here in any case.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in (theirs.fileno(), self.memory)]
        self.process = subprocess.Popen(
            [sys.executable, DEVICE], stdin=subprocess.DEVNULL, pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(high[0], 3), os.dup2(high[1], 4)))
        for fd in high:
            os.close(fd)
        theirs.close()
        self.first = self.ours.recv(1)

    def map(self):
        self.segment = mmap.mmap(self.memory, os.fstat(self.memory).st_size)
        self.header = wire._Header.from_buffer(self.segment)
        self.header.bytes = len(self.segment)

    def claim(self, i):
        return wire._Claim.from_buffer(self.segment, CLAIMS + 320 * i)

    def tensor(self, i, role, part, kind, shape, strides, data, layout=0):
        t = wire._Tensor.from_buffer(self.segment, TENSORS + 104 * i)
        t.role, t.part, t.layout, t.ndim, t.data = wire.ROLES.index(role) + 1, part, layout, 2, data
        t.type_code, t.type_bits = kind
        t.shape[:2], t.strides[:2] = shape, strides
        t.bytes = 4096

    def run(self, entry, m, k, n_out=1, guards=()):
        run = wire._Run.from_buffer(self.segment, RUNS)
        run.operation, run.entry, run.m, run.k = self.claim(entry).operation, entry, m, k
        run.inputs, run.n_in, run.outputs, run.n_out = TENSORS, 1, TENSORS + 104, n_out
        run.status, run.guards, run.n_guards = 2, GUARDS, len(guards)
        for i, page in enumerate(guards):
            ctypes.c_uint64.from_buffer(self.segment, GUARDS + 8 * i).value = page
        self.header.runs, self.header.n_runs = RUNS, 1
        self.header.started = self.header.finished = 0
        self.ours.send(b"g")
        return self.ours.recv(1), run

    def bytes(self, at, shape, strides):
        return numpy.ndarray(shape, numpy.uint8, self.segment, at, strides)

    def end(self):
        self.ours.close()
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1
        return self.process.wait(30)


class Attach(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.assertEqual(self.host.first, b"r", self.host.header.message)

    def tearDown(self):
        self.host.end()

    def matrix(self, x, gap, at=DATA):
        m, k = x.shape
        self.host.tensor(0, "x", 0, (2, 32), (m, k), (k + gap, 1), at)
        numpy.ndarray(x.shape, numpy.float32, self.host.segment, at, (4 * (k + gap), 4))[:] = x
        self.host.tensor(1, "q", 0, (17, 4), (m, k), (k + k % 2 + gap, 1), at + (1 << 16))
        packed = self.host.bytes(at + (1 << 16), (m, (k + 1) // 2), ((k + k % 2 + gap) // 2, 1))
        packed[:] = 0xA5
        return packed

    def test_claims(self):
        self.assertEqual(self.host.header.n_claims, 6)
        self.assertEqual(self.host.header.name, b"python")
        right, declines, swizzles = (self.host.claim(i) for i in (0, 2, 4))
        self.assertEqual((right.name, right.operation, right.a, right.d, right.profile, right.flags),
                         (b"right", 1, b"e2m1", b"fp32", b"saturating", 3))
        self.assertEqual((declines.flags, declines.k_multiple), (1, 16))
        self.assertEqual((swizzles.operation, swizzles.scale_layout), (2, 1))

    def test_codes_with_gaps_between_rows(self):
        x = numpy.array([[0, 0.25, 0.3, -0.75, 2.5], [-0., 5.1, 1e30, numpy.nan, -4]], numpy.float32)
        packed = self.matrix(x, 6)
        message, run = self.host.run(0, 2, 5)
        self.assertEqual((message, run.status, run.message), (b"d", 0, b""))
        self.assertEqual(packed.tolist(), [[0x00, 0xA1, 0x04], [0x78, 0x77, 0x0E]])

    def test_a_larger_segment(self):
        os.ftruncate(self.host.memory, 1 << 22)
        self.host.map()
        packed = self.matrix(numpy.ones((1, 4), numpy.float32), 0, at=3 << 20)
        self.assertEqual(self.host.run(0, 1, 4)[1].status, 0)
        self.assertEqual(packed.tolist(), [[0x22, 0x22]])

    def test_an_exception_is_a_failure_with_its_last_line(self):
        self.matrix(numpy.ones((1, 4), numpy.float32), 0)
        _, run = self.host.run(1, 1, 4)
        self.assertEqual(run.status, -1)
        self.assertRegex(run.message.decode(),
                         r"^ValueError: no kernel for m = 1 and k = 4 \(attach_device.py:\d+\)$")

    def test_declined(self):
        self.matrix(numpy.ones((1, 16), numpy.float32), 0)
        _, run = self.host.run(2, 1, 16)
        self.assertEqual((run.status, run.message), (1, b"only on Tuesdays"))

    def test_numbers_are_not_codes(self):
        self.matrix(numpy.ones((1, 4), numpy.float32), 0)
        _, run = self.host.run(3, 1, 4)
        self.assertEqual(run.status, -1)
        self.assertIn(b"e2m1 is written as codes", run.message)

    def test_swizzled_scale_factors(self):
        m = 33
        self.matrix(numpy.ones((m, 20), numpy.float32), 0)
        self.host.tensor(2, "q", 1, (10, 8), (m, 2), (2, 1), 3 << 18, layout=1)
        wire._Tensor.from_buffer(self.host.segment, TENSORS + 208).bytes = 512
        self.assertEqual(self.host.run(4, m, 20, n_out=2)[1].status, 0)
        scales = self.host.bytes(3 << 18, (512,), (1,))
        self.assertEqual([scales[i] for i in (0, 1, 16, 31 * 16 + 1, 4, 5, 2, 6)],
                         [0, 1, 2, 63, 64, 65, 0, 0])

    def test_a_guard_page_kills_and_only_during_the_run(self):
        self.matrix(numpy.ones((1, 4), numpy.float32), 0)
        self.assertEqual(self.host.run(0, 1, 4, guards=[DATA + 4096])[1].status, 0)
        self.assertEqual(self.host.run(5, 1, 4)[1].status, 0)
        message, run = self.host.run(5, 1, 4, guards=[DATA + 4096])
        self.assertEqual((message, run.status, self.host.header.started), (b"", 2, 1))
        self.assertEqual(self.host.end(), -signal.SIGSEGV)


class Start(unittest.TestCase):
    def test_another_version(self):
        host = Host(version=2)
        self.assertEqual(host.first, b"x")
        self.assertIn(b"version 2", host.header.message)
        self.assertEqual(host.end(), 0)

    def test_too_many_entries(self):
        host = Host(entries=2)
        self.assertEqual(host.first, b"x")
        self.assertIn(b"6 entries", host.header.message)
        host.end()

    def test_by_hand_it_lists_its_entries(self):
        text = subprocess.run([sys.executable, DEVICE], capture_output=True, text=True, check=True).stdout
        self.assertIn("right: convert\n", text)
        self.assertIn("assay certify", text)

    def test_words_that_a_claim_does_not_have(self):
        for fields, part in (({"colour": "red"}, "colour"), ({"rounding": "up"}, "nearest_even"),
                             ({"estimators": ["ste"]}, "clip_mask"), ({"a": "x" * 40}, "31")):
            with self.assertRaisesRegex(ValueError, part):
                wire.entry("quantize", **fields)(lambda call: None)
        with self.assertRaisesRegex(ValueError, "quantise"):
            wire.entry("quantise")(lambda call: None)


if __name__ == "__main__":
    unittest.main()
