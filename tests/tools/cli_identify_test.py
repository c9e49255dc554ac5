# SPDX-License-Identifier: Apache-2.0
"""assay identify: which rule and order made given scale factors, when that is undecided, and bad inputs."""
import json
import random
import struct
import unittest

from cli_fixture import CliTest, f32, npy, read_safetensors

# On this tensor amax * (S_enc * FP32(1/6)) and (amax / 6) * S_enc round to different E4M3 codes, 7b and 7a:
# the first of the 277 pairs of bf16 amax of block and tensor where they do.
ORDERS_PART = [1.078125, 0.5, -0.75, 0.3] + 12 * [0.0] + [1.4375] + 15 * [0.0]
# Powers of two and 6: every division is exact, so that no order differs.
ORDERS_AGREE = [6.0, 1.0, 2.0, 3.0] + 12 * [0.0] + [3.0] + 15 * [0.0]


def normal(count, seed=1):
    generator = random.Random(seed)
    return [struct.unpack("f", struct.pack("f", generator.gauss(0, 1)))[0] for _ in range(count)]


def small(count):
    """Blocks of largest elements 1/4 .. 1/2, every mantissa, below ORDERS_PART's: its tensor scale stays."""
    values = [max(-1.0, min(1.0, x / 4)) for x in normal(count)]
    for block in range(0, count, 32):
        values[block] = 0.25 + block / count / 4
    return [x * (0.25 if i % 32 else 1) for i, x in enumerate(values)]


class IdentifyTest(CliTest):
    def quantized(self, x, preset, rows=1):
        """X, the scale factors and the codes that the preset gives, as files."""
        source = self.file("x.npy", f32(x, (rows, len(x) // rows)))
        packed = self.folder / "q.safetensors"
        self.passes("quantize", "--block", preset, source, packed)
        _, tensors = read_safetensors(packed)
        kinds = {"U8": "|u1", "F32": "<f4"}
        kind, shape, data = tensors["scales"]
        scales = self.file("scales.npy", npy(kinds[kind], shape, data))
        kind, shape, data = tensors["codes"]
        return source, scales, self.file("codes.npy", npy(kinds[kind], shape, data))

    def identify(self, scales, x, *arguments, code=0):
        run = self.run_assay("identify", scales, x, *arguments, "--json", "-")
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return json.loads(run.stdout)

    @staticmethod
    def matching(document):
        return {row["format"] for row in document["formats"] if row.get("matches")}


class Orders(IdentifyTest):
    def test_a_differing_input_separates_the_two_orders(self):
        a, b = {"nvfp4"}, {"nvfp4-paper", "nvfp4-divide"}
        for preset, ours, others in (("nvfp4", a, b), ("nvfp4-paper", b, a), ("nvfp4-divide", b, a)):
            x, scales, codes = self.quantized(ORDERS_PART, preset)
            for arguments in ((), ("--codes", codes)):
                found = self.matching(self.identify(scales, x, *arguments))
                self.assertLessEqual(ours, found, preset)
                self.assertFalse(others & found, preset)

    def test_what_it_cannot_be_is_said_with_both_codes(self):
        x, scales, _ = self.quantized(ORDERS_PART, "nvfp4")
        rows = {row["format"]: row for row in self.identify(scales, x)["formats"]}
        paper = rows["nvfp4-paper"]
        self.assertEqual((paper["matches"], paper["block"], paper["amax"], paper["expected"], paper["given"]),
                         (False, 0, 1.078125, 0x7A, 0x7B))
        self.assertRegex(self.passes("identify", scales, x).stdout,
                         r"not +nvfp4-paper +block 0, amax 1.078125: expected 0x7A, given 0x7B")

    def test_undecided_where_the_orders_agree(self):
        x, scales, codes = self.quantized(ORDERS_AGREE, "nvfp4")
        for arguments in ((), ("--codes", codes)):
            document = self.identify(scales, x, *arguments)
            self.assertTrue(document["verdict"].startswith("undecided: "), document["verdict"])
            self.assertLessEqual({"nvfp4", "nvfp4-paper", "nvfp4-divide"}, self.matching(document))
            self.assertIn("separating input", document)

    def test_the_suggested_input_separates(self):
        for preset in ("nvfp4", "nvfp4-paper", "nvfp4-divide"):
            x, scales, _ = self.quantized(ORDERS_AGREE, preset)
            before = self.identify(scales, x)
            x, scales, _ = self.quantized(before["separating input"], preset)
            after = self.matching(self.identify(scales, x))
            self.assertIn(preset, after)
            self.assertLess(after & self.matching(before), self.matching(before), preset)

    def test_one_order_is_identified(self):
        # Enough blocks for the rounded-up scale too, and a zero block, on which DeepSeek's clamp shows.
        for preset, verdict in (
                ("nvfp4", "identified: nvfp4 (on 1 row the same as nvfp4-2d)"),
                ("nvfp4-up", "identified: nvfp4-up"), ("mxfp4-rceil", "identified: mxfp4-rceil"),
                ("deepseek-v4", "identified: deepseek-v4"), ("mxfp4-even", "identified: mxfp4-even"),
                ("mxfp8-e5m2-rceil", "identified: mxfp8-e5m2-rceil"), ("fp4-fp32", "identified: fp4-fp32")):
            x, scales, _ = self.quantized(ORDERS_PART + small(960) + 32 * [0.0], preset)
            self.assertEqual(self.identify(scales, x)["verdict"], verdict)

    def test_blocks_higher_than_one_row_are_another_quantizer(self):
        x = small(32 * 32)
        x[0], x[16 * 32 + 16] = ORDERS_PART[0], ORDERS_PART[16]
        x, scales, _ = self.quantized(x, "nvfp4-2d", rows=32)
        self.assertEqual(self.identify(scales, x)["verdict"], "identified: nvfp4-2d")

    def test_codes_separate_what_scale_factors_cannot(self):
        # 16/17 in both levels cancels in the scale factors and shows in the elements.
        x, scales, codes = self.quantized(ORDERS_PART, "nvfp4-divide")
        self.assertIn("nvfp4-sr", self.matching(self.identify(scales, x)))
        rows = {row["format"]: row for row in self.identify(scales, x, "--codes", codes)["formats"]}
        self.assertEqual((rows["nvfp4-sr"]["matches"], rows["nvfp4-sr"]["element"]), (False, 3))

    def test_bf16_tensors_are_read(self):
        # Every number of ORDERS_PART but 0.3 is a bf16 number; its block's amax is another.
        values = [0.25 if x == 0.3 else x for x in ORDERS_PART]
        words = struct.unpack("<32I", struct.pack("<32f", *values))
        x, scales, codes = self.quantized(values, "nvfp4")
        halves = self.file("bf16.npy", npy("<u2", (1, 32), struct.pack("<32H", *(w >> 16 for w in words))))
        for arguments in ((), ("--codes", codes)):
            self.assertEqual(self.identify(scales, halves, "--from", "bf16", *arguments),
                             self.identify(scales, x, *arguments))
        self.refuses("identify", scales, halves, says="U16 with --from bf16")

    def test_an_element_opens_the_rest_of_its_rules(self):
        x, scales, codes = self.quantized(ORDERS_PART + small(960), "nvint4")
        self.assertNotIn("nvint4", [row["format"] for row in self.identify(scales, x, "--codes", codes, code=1)["formats"]])
        document = self.identify(scales, x, "--codes", codes, "--element", "int4")
        self.assertEqual(document["verdict"], "identified: nvint4")
        self.assertEqual({row["format"] for row in document["formats"]},
                         {"nvint4", "nvint4-up", "nvint4-4over6", "nvint4-4over6-mae", "nvint4-4over6-max"})
        # MXFP4's and MXFP6's floor divide by 4 alike: the element tells.
        x, scales, _ = self.quantized(normal(512), "mxfp4-floor")
        self.assertLessEqual({"mxfp4-floor", "mxfp6-e2m3-floor"}, self.matching(self.identify(scales, x)))
        found = self.matching(self.identify(scales, x, "--element", "e2m1"))
        self.assertIn("mxfp4-floor", found)
        self.assertTrue(all(name.startswith("mxfp4") for name in found), found)

    def test_unpacked_codes_are_read_too(self):
        x, scales, codes = self.quantized(ORDERS_PART, "nvfp4")
        data = codes.read_bytes()[-16:]
        one_each = bytes(n for byte in data for n in (byte & 15, byte >> 4))
        unpacked = self.file("unpacked.npy", npy("|u1", (1, 32), one_each))
        self.assertEqual(self.identify(scales, x, "--codes", codes),
                         self.identify(scales, x, "--codes", unpacked))

    def test_a_wrong_bit_matches_nothing(self):
        x, scales, _ = self.quantized(normal(512), "mxfp4-floor")
        data = bytearray(scales.read_bytes())
        data[-1] ^= 1
        scales.write_bytes(bytes(data))
        document = self.identify(scales, x, code=1)
        self.assertEqual(self.matching(document), set())
        self.assertEqual(document["verdict"], "none of the known orders computes these scale factors")
        floor = next(row for row in document["formats"] if row["format"] == "mxfp4-floor")
        self.assertEqual((floor["block"], floor["given"]), (15, floor["expected"] ^ 1))


class Learned(IdentifyTest):
    def test_codes_tell(self):
        x, scales, codes = self.quantized(normal(128), "article", rows=2)
        document = self.identify(scales, x, "--codes", codes)
        self.assertTrue(document["verdict"].startswith("identified: article, learned scale factors"))
        row = next(row for row in document["formats"] if row["format"] == "article")
        self.assertTrue(row["learned"] and row["matches"])

    def test_without_codes_nothing_is_claimed(self):
        x, scales, _ = self.quantized(normal(128), "article", rows=2)
        document = self.identify(scales, x, code=1)
        self.assertIn("whether they are learned (article) shows in the codes: give --codes", document["verdict"])
        row = next(row for row in document["formats"] if row["format"] == "article")
        self.assertNotIn("matches", row)

    def test_other_codes_are_not_learned(self):
        x, scales, codes = self.quantized(normal(128), "article", rows=2)
        data = bytearray(codes.read_bytes())
        data[-1] ^= 0x10
        codes.write_bytes(bytes(data))
        document = self.identify(scales, x, "--codes", codes, code=1)
        self.assertTrue(document["verdict"].endswith("and as learned ones they lead to other codes"))

    def test_a_computed_rule_comes_first(self):
        x, scales, codes = self.quantized(normal(128), "fp4-fp32", rows=2)
        self.assertEqual(self.identify(scales, x, "--codes", codes)["verdict"], "identified: fp4-fp32")

    def test_scale_factors_that_nobody_learns(self):
        x = self.file("x.npy", f32(normal(64), (1, 64)))
        scales = self.file("s.npy", f32([float("nan"), 1.0], (1, 2)))
        document = self.identify(scales, x, code=1)
        self.assertNotIn("article", [row["format"] for row in document["formats"]])


class BadInputs(IdentifyTest):
    def test_each_is_one_sentence(self):
        x, scales, codes = self.quantized(normal(64), "nvfp4")
        kept = {"x.npy", "scales.npy", "codes.npy", "q.safetensors"}
        self.assertEqual({p.name for p in self.folder.iterdir()}, kept)
        cases = (
            ((scales, self.folder / "nothing.npy"), "nothing.npy"),
            ((self.folder / "nothing.npy", x), "nothing.npy"),
            ((x, scales), ""),  # exchanged
            ((scales, self.file("text.npy", b"hello")), "text.npy"),
            ((scales, self.file("f8.npy", npy("<f8", (64,), bytes(8 * 64)))), "F64"),
            ((scales, self.file("nan.npy", f32([1.0, float("nan")] + 62 * [0.0]))), "element 1 is not finite"),
            ((scales, self.file("inf.npy", f32([float("inf")] + 63 * [0.0]))), "element 0 is not finite"),
            ((scales, self.file("empty.npy", f32([], (0, 16)))), "empty.npy"),
            ((self.file("none.npy", npy("|u1", (0,), b"")), x), "does not hold scale factors"),
            ((self.file("i8.npy", npy("<i8", (4,), bytes(32))), x), "i8.npy"),
            ((self.file("three.npy", npy("|u1", (3,), b"777")), x), "no known format has 3 scale factors of 8 bits"),
            ((scales, x, "--block", "-1"), "--block"),
            ((scales, x, "--element", "e2m2"), "did you mean 'e2m1'"),
            ((scales, x, "--element", "fp16"), "no known format of fp16 elements"),
            ((scales, x, "--from", "f16"), "--from f16 takes F16"),
            ((scales, x, "--block", "7"), "no known format"),
            ((scales, x, "--codes", self.folder / "nothing.npy"), "nothing.npy"),
            ((scales, x, "--codes", self.file("few.npy", npy("|u1", (5,), b"00000"))), "holds 5 codes"),
            ((scales, x, "--codes", x), "holds"),
            ((scales,), "X is required"),
            ((scales, x, "--code", codes), "did you mean"),
        )
        for arguments, says in cases:
            with self.subTest(says):
                self.refuses("identify", *arguments, says=says)


if __name__ == "__main__":
    unittest.main()
