# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear sentence, exit 4, no output; interrupts: exit 2, no output; memory stays bounded."""
import json
import math
import os
import pathlib
import resource
import signal
import struct
import subprocess
import time
import unittest

from cli_fixture import ASSAY, SANITIZED, CliTest, f32, npy, safetensors


class Names(CliTest):
    def test_unknown_names_suggest_the_nearest(self):
        x = self.file("x.npy", f32([1.0] * 32))
        out = self.folder / "out"
        self.refuses("certfy", says="did you mean 'certify'")
        self.refuses("--verson", says="did you mean '--version'")
        self.refuses("formats", "e2m", says="did you mean 'e2m1'")
        self.refuses("formats", "--jsn", "x", says="did you mean '--json'")
        self.refuses("convert", "--to", "e2m2", x, out, says="did you mean 'e2m1'")
        self.refuses("convert", "--to", "e2m1", "--rounding", "nearest_evn", x, out,
                     says="did you mean 'nearest_even'")
        self.refuses("convert", "--to", "e2m1", "--policy", "cuda12", x, out, says="did you mean 'cuda13'")
        self.refuses("convert", "--to", "e2m1", "--from", "f23", x, out, says="did you mean 'f32'")
        self.refuses("quantize", "--block", "nvfp5", x, out, says="did you mean 'nvfp4'")
        self.refuses("quantize", "--block", "nvfp4", "--scale-layout", "row", x, out, says="row_major")

    def test_usage(self):
        x = self.file("x.npy", f32([1.0] * 32))
        self.refuses("convert", says="required")
        for verb in (("convert", "--to", "e2m1"), ("quantize", "--block", "nvfp4"), ("dequantize",)):
            self.refuses(*verb, "-", self.folder / "y", says="give a file")
            self.refuses(*verb, x, "-", says="give a file")
        self.refuses("convert", "--to", "e2m1", x, says="OUT")
        self.refuses("convert", "--to", "e2m1", x, self.folder / "y", "extra", says="extra")
        self.refuses("convert", "--to", "e2m1", "--seed", "many", x, self.folder / "y", says="seed")
        self.refuses("convert", "--to", "e2m1", "--rounding", "stochastic", "--random-bits", "17", x,
                     self.folder / "y", says="16")
        self.refuses("quantize", "--block", "nvfp4", "--scales", x, x, self.folder / "y", says="--scales")
        self.refuses("quantize", "--block", "article", "--scales", x, x, self.folder / "y", says="blocks")


class BadArrays(CliTest):
    verbs = (("convert", "--to", "e2m1"), ("quantize", "--block", "nvfp4"))

    def refuse_both(self, content, says=""):
        source = self.file("in.npy", content)
        for verb in self.verbs:
            self.assertIn("in.npy", self.refuses(*verb, source, self.folder / "out", says=says))

    def test_every_truncation(self):
        whole = f32([1.0] * 32, (2, 16))
        for length in range(0, len(whole), 1 if not SANITIZED else 16):
            source = self.file("in.npy", whole[:length])
            self.refuses("convert", "--to", "e2m1", source, self.folder / "out", says="in.npy")
        self.refuse_both(whole + b"\0")

    def test_lying_headers(self):
        data = struct.pack("<4f", 1, 2, 3, 4)
        for shape in ("(5,)", "(2, 3)", "(-4,)", "(4, -1)", "(1 << 62,)", "(4611686018427387904, 4)",
                      "(99999999999999999999,)", "4", "('4',)", "(4", "(4.0,)"):
            header = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n" % shape
            self.refuse_both(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)
        for descr in ("<f9", ">f4", "|O", "<c8", "<U4", "", "<i4"):
            self.refuse_both(npy(descr, (4,), data))
        self.refuse_both(npy("<f4", (2, 2), data, fortran=True))
        good = npy("<f4", (4,), data)
        self.refuse_both(b"\x93NUMPI" + good[6:])
        self.refuse_both(good[:6] + b"\x09" + good[7:])
        self.refuse_both(good[:8] + b"\xff\xff" + good[10:])

    def test_nothing_in_it(self):
        for shape in ((0,), (0, 16), (4, 0), (2, 0, 3)):
            self.refuse_both(npy("<f4", shape, b""), says="no elements")

    def test_the_type_is_what_was_declared(self):
        x = self.file("in.npy", npy("<f8", (2,), struct.pack("<2d", 1, 2)))
        out = self.folder / "out"
        self.refuses("convert", "--from", "f32", "--to", "e2m1", x, out, says="F64")
        self.refuses("quantize", "--block", "nvfp4", x, out, says="F64")
        x = self.file("in.npy", npy("<u2", (2,), b"\0" * 4))
        self.refuses("convert", "--to", "e2m1", x, out, says="bf16")

    def test_nan_and_infinity_are_named(self):
        for value, word in ((math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")):
            for preset in ("nvfp4", "mxfp4-rceil", "article"):
                x = self.file("in.npy", f32([1.0] * 37 + [value] + [value] * 26, (2, 32)))
                sentence = self.refuses("quantize", "--block", preset, x, self.folder / "out", says=word)
                self.assertIn("row 1, column 5", sentence)


class BadBlockFiles(CliTest):
    def whole(self):
        self.passes("quantize", "--block", "nvfp4", self.file("x.npy", f32([1.0] * 40, (2, 20))),
                    self.folder / "q.safetensors")
        return (self.folder / "q.safetensors").read_bytes()

    def refuse(self, content, says=""):
        self.assertIn("in.safetensors", self.refuses(
            "dequantize", self.file("in.safetensors", content), self.folder / "out", says=says))

    def test_every_truncation(self):
        whole = self.whole()
        for length in range(0, len(whole), 1 if not SANITIZED else 32):
            self.refuse(whole[:length])
        self.refuse(whole + b"\0")

    def test_lying_headers(self):
        whole = self.whole()
        (length,) = struct.unpack("<Q", whole[:8])
        header, data = json.loads(whole[8:8 + length]), whole[8 + length:]

        def with_change(change):
            changed = json.loads(json.dumps(header))
            change(changed)
            return safetensors(changed, data)

        def metadata(key, value):
            return lambda h: h["__metadata__"].__setitem__(key, value)

        def tensor(name, key, value):
            return lambda h: h[name].__setitem__(key, value)

        self.refuse(struct.pack("<Q", 1 << 63) + whole[8:])
        self.refuse(safetensors(b"{", data))
        self.refuse(safetensors(b"[]", data))
        self.refuse(with_change(lambda h: h.pop("__metadata__")), says="assay quantize")
        self.refuse(with_change(lambda h: h.pop("codes")))
        for change in (metadata("preset", "nvfp5"), metadata("shape", ""), metadata("shape", "2,-20"),
                       metadata("shape", "3,20"), metadata("shape", "2,9999999999999"),
                       metadata("shape", "2,x"), metadata("scale_layout", "diagonal"),
                       metadata("preset", "mxfp4-floor"), metadata("assay", "2"), metadata("seed", ""),
                       tensor("codes", "data_offsets", [0, 1 << 40]), tensor("codes", "dtype", "F32"),
                       tensor("codes", "shape", [4, 5]), tensor("scales", "shape", [1 << 40, 1 << 40]),
                       tensor("scales", "data_offsets", [10, 0])):
            self.refuse(with_change(change))


class BadOutputs(CliTest):
    def test_unwritable(self):
        x = self.file("x.npy", f32([1.0] * 4096))
        self.passes("quantize", "--block", "nvfp4", x, self.folder / "q.safetensors")
        (self.folder / "folder").mkdir()
        for out in (self.folder / "absent" / "out", self.folder / "folder", pathlib.Path("/dev/full")):
            self.refuses("convert", "--to", "e2m1", x, out, says=str(out))
            self.refuses("quantize", "--block", "nvfp4", x, out, says=str(out))
            self.refuses("dequantize", self.folder / "q.safetensors", out, says=str(out))
            self.assertEqual(self.run_assay("formats", "--json", out).returncode, 4)
        self.assertEqual(list((self.folder / "folder").iterdir()), [])
        self.refuses("convert", "--to", "e2m1", self.folder / "absent.npy", self.folder / "out",
                     says="absent.npy")
        self.refuses("convert", "--to", "e2m1", self.folder, self.folder / "out")

    def test_a_report_that_cannot_be_written_is_refused_before_the_run(self):
        out = self.folder / "absent" / "report.json"
        self.refuses("certify", "cpu", "--cases", "1", "--property", "layout", "--json", out, says=str(out))
        self.refuses("replay", "embedded", "--recipe", "nvfp4", "--html", out, says=str(out))

    def test_a_reader_that_goes_away_is_no_error(self):
        reading, writing = os.pipe()
        os.close(reading)
        result = subprocess.run([ASSAY, "formats", "e4m3"], stdout=writing, stderr=subprocess.PIPE,
                                text=True, timeout=60)
        os.close(writing)
        self.assertEqual((result.returncode, result.stderr), (-signal.SIGPIPE, ""))

    def test_standard_output_is_full(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([ASSAY, "formats", "e4m3"], stdout=full, stderr=subprocess.PIPE,
                                    text=True, timeout=60)
        self.assertEqual(result.returncode, 4, result.stderr)

    def test_full_disk(self):
        x = self.file("x.npy", f32([1.0] * 65536))
        q = self.folder / "q.safetensors"
        self.passes("quantize", "--block", "nvfp4", x, q)
        out = self.file("out", b"what was there before")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        for verb in (("convert", "--to", "e2m1", x), ("quantize", "--block", "nvfp4", x),
                     ("dequantize", q)):
            self.refuses(*verb, out, says="out", preexec_fn=limit)
            self.assertEqual(out.read_bytes(), b"what was there before")


class Interrupts(CliTest):
    def sparse(self, count):
        """A .npy of `count` zeros that takes no room on the disk."""
        path = self.file("big.npy", npy("<f4", (count // 1024, 1024), b""))
        os.truncate(path, path.stat().st_size + 4 * count)
        return path

    def test_an_interrupt_leaves_nothing(self):
        source = self.sparse(1 << 30)
        for verb in (("convert", "--to", "e2m1"), ("quantize", "--block", "mxfp4-rceil")):
            process = subprocess.Popen([ASSAY, *verb, source, self.folder / "out"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 60
            while len(list(self.folder.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(len(list(self.folder.iterdir())), 2, "a file in the making")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 2, errors)
            self.assertEqual([p.name for p in self.folder.iterdir()], ["big.npy"])

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory is not the program's")
    def test_memory_is_bounded(self):
        source = self.sparse(1 << 28)  # 1 GiB
        out = self.folder / "out"
        for verb in (("convert", "--to", "e4m3", source, out),
                     ("quantize", "--block", "article-attention", source, out),
                     ("quantize", "--block", "nvfp4", source, out),
                     ("dequantize", out, self.folder / "y.npy")):
            process = subprocess.Popen([ASSAY, *map(str, verb)])
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            self.assertLess(usage.ru_maxrss, 256 * 1024, "kB resident")


if __name__ == "__main__":
    unittest.main()
