# SPDX-License-Identifier: Apache-2.0
"""assay quantize and its inverse: every preset, layout and tile against what the printed tables say."""
import fractions
import json
import math
import struct
import unittest

from cli_fixture import CliTest, f32, npy, read_npy, read_safetensors


class Quantize(CliTest):
    def quantize(self, content, *options):
        source, out = self.file("x.npy", content), self.folder / "q.safetensors"
        self.passes("quantize", *options, source, out)
        return read_safetensors(out)

    def dequantize(self):
        self.passes("dequantize", self.folder / "q.safetensors", self.folder / "y.npy")
        descr, shape, data = read_npy(self.folder / "y.npy")
        self.assertEqual(descr, "<f4")
        return shape, list(struct.unpack("<%df" % (len(data) // 4), data))

    def test_mxfp4_of_exact_values_is_lossless(self):
        row = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0, 0.0] * 2
        metadata, tensors = self.quantize(f32(row, (1, 32)), "--block", "mxfp4-rceil")
        self.assertEqual(tensors["scales"], ("U8", [1, 1], b"\x7f"))
        self.assertEqual(tensors["codes"][:2], ("U8", [1, 16]))
        self.assertEqual(tensors["codes"][2][:8], bytes([0x10, 0x32, 0x54, 0x76, 0xA9, 0xCB, 0xED, 0x0F]))
        self.assertEqual(tensors["tensor_scale"], ("F32", [1], struct.pack("<f", 1.0)))
        self.assertEqual((metadata["preset"], metadata["shape"], metadata["rounding"]),
                         ("mxfp4-rceil", "1,32", "nearest_even"))
        self.assertEqual(self.dequantize(), ((1, 32), row))

    def test_partial_blocks_and_leading_dimensions(self):
        for preset in ("nvfp4", "nvfp4-divide", "mxfp4-floor", "fp8-deepseek-v3",
                       "fp8-deepseek-v3-weight", "deepseek-v4", "article"):
            values = [math.sin(i) for i in range(2 * 3 * 37)]
            self.quantize(f32(values, (2, 3, 37)), "--block", preset)
            shape, back = self.dequantize()
            self.assertEqual(shape, (2, 3, 37))
            # A scale at most doubled and half a step of at most 2 (of 6): far from a wrong nibble.
            self.assertLess(max(abs(a - b) for a, b in zip(values, back)), 0.4, preset)

    def values_of_codes(self, name):
        """The exact values of the codes of a format of at most 8 bits; None where one is not finite."""
        rows = json.loads(self.passes("formats", name, "--json", "-").stdout).get("codes", [])
        numbers = [float.fromhex(row["hexadecimal"]) for row in rows]
        return [fractions.Fraction(x) if math.isfinite(x) else None for x in numbers]

    def test_every_preset_round_trips(self):
        """Every block format and short name, decoded here from the file and the printed code tables."""
        everything = json.loads(self.passes("formats", "--json", "-").stdout)
        bits = {row["name"]: row["bits"] for row in everything["formats"]}
        of_name = {row["name"]: row for row in everything["block_formats"]}
        presets = list(of_name.items())
        presets += [(alias["name"], of_name[alias["block format"]]) for alias in everything["short_names"]]
        self.assertGreater(len(presets), 50)
        tables = {name: self.values_of_codes(name) for name in
                  {row[key] for row in of_name.values() for key in ("element", "scale")}}
        types = {"fp32": ("F32", 4, lambda raw: struct.unpack("<f", raw)[0]),
                 "bf16": ("BF16", 2, lambda raw: struct.unpack("<f", b"\0\0" + raw)[0])}
        rows, cols = 3, 75
        values = struct.unpack("<225f", struct.pack("<225f", *(math.sin(i) * 2.0 ** (i % 9 - 4)
                                                               for i in range(rows * cols))))
        for preset, row in presets:
            with self.subTest(preset):
                metadata, tensors = self.quantize(f32(values, (rows, cols)), "--block", preset)
                shape, back = self.dequantize()
                self.assertEqual((metadata["preset"], shape), (row["name"], (rows, cols)))
                table = tables[row["element"]]
                kind, width, factor_of = types.get(
                    row["scale"], ("U8", 1, lambda raw, table=tables[row["scale"]]: table[raw[0]]))
                height, length = (int(n) if n.isdigit() else 0 for n in row["block"].split("x"))
                height, length = height or rows, length or cols
                across = -(-cols // length)
                self.assertEqual(tensors["scales"][:2], (kind, [-(-rows // height), across]))
                codes, stride = tensors["codes"][2], tensors["codes"][1][1]
                (tensor_scale,) = struct.unpack("<f", tensors["tensor_scale"][2])
                largest = {}
                for i, value in enumerate(values):
                    block = i // cols // height * across + i % cols // length
                    largest[block] = max(largest.get(block, 0), abs(value))
                for i, value in enumerate(back):
                    r, c = divmod(i, cols)
                    block = r // height * across + c // length
                    factor = factor_of(tensors["scales"][2][block * width:(block + 1) * width])
                    four = bits[row["element"]] == 4
                    code = codes[r * stride + c // 2] >> c % 2 * 4 & 15 if four else codes[r * stride + c]
                    product = table[code] * fractions.Fraction(factor) * fractions.Fraction(tensor_scale)
                    # Two significant parts of at most 24 and 12 bits: a double holds the product.
                    self.assertEqual(fractions.Fraction(float(product)), product)
                    self.assertEqual(value, struct.unpack("<f", struct.pack("<f", float(product)))[0], i)
                    # Half of the largest step, 2 of 6 or 8, or what a floor scale clips, 2 of 8.
                    self.assertLess(abs(value - values[i]), 0.4 * largest[block], i)

    def test_tiles_do_not_show(self):
        # Rows longer than the memory budget of a tile against the same blocks in a narrow matrix.
        count = (1 << 21) + 64
        block = struct.pack("<32f", *[math.cos(3 * i) for i in range(32)])
        data = block * (count // 32)
        for preset in ("nvfp4", "mxfp4-rceil"):
            _, wide = self.quantize(npy("<f4", (1, count), data), "--block", preset)
            wide_back = self.dequantize()[1]
            _, tall = self.quantize(npy("<f4", (count // 32, 32), data), "--block", preset)
            self.assertEqual(wide["codes"][2], tall["codes"][2])
            self.assertEqual(wide["scales"][2], tall["scales"][2])
            self.assertEqual(wide_back, self.dequantize()[1])

    def test_swizzled_scales_dequantize_to_the_same(self):
        values = f32([math.sin(i * i) for i in range(130 * 176)], (130, 176))
        self.quantize(values, "--block", "nvfp4")
        plain = self.dequantize()
        _, tensors = self.quantize(values, "--block", "nvfp4", "--scale-layout", "swizzled_128x4")
        self.assertEqual(tensors["scales"][:2], ("U8", [256, 12]))
        self.assertEqual(self.dequantize(), plain)

    def test_deepgemm_scales_lie_column_by_column(self):
        rows, cols = 7, 32 * 6 - 5
        values = f32([math.sin(i * i) * 2.0 ** (i // 32 % 11) for i in range(rows * cols)], (rows, cols))
        _, plain = self.quantize(values, "--block", "mxfp4-rceil")
        numbers = self.dequantize()
        _, tensors = self.quantize(values, "--block", "mxfp4-rceil", "--scale-layout", "mn_major_packed")
        self.assertEqual(tensors["scales"][:2], ("U8", [2, 8, 4]))
        expected = bytearray(64)
        for r in range(rows):
            for c in range(6):
                expected[(c // 4 * 8 + r) * 4 + c % 4] = plain["scales"][2][r * 6 + c]
        self.assertEqual(tensors["scales"][2], bytes(expected))
        self.assertEqual(self.dequantize(), numbers)

        _, plain = self.quantize(values, "--block", "fp4-fp32")
        numbers = self.dequantize()
        _, tensors = self.quantize(values, "--block", "fp4-fp32", "--scale-layout", "mn_major")
        self.assertEqual(tensors["scales"][:2], ("F32", [6, 8]))
        given = struct.unpack("<42f", plain["scales"][2])
        self.assertEqual(struct.unpack("<48f", tensors["scales"][2]),
                         tuple(given[r * 6 + c] if r < rows else 0.0 for c in range(6) for r in range(8)))
        self.assertEqual(self.dequantize(), numbers)

    def test_tiles_do_not_show_in_deepgemm_scales(self):
        # Several tiles high, and several wide, against the row-major scale factors of the same matrix.
        for rows, cols in ((70001, 32), (5, 1 << 20)):
            data = npy("<f4", (rows, cols), struct.pack("<64f", *[math.cos(i * i) * 2.0 ** (i % 13) for i in range(64)])
                       * (rows * cols // 64) + bytes(rows * cols % 64 * 4))
            _, plain = self.quantize(data, "--block", "mxfp4-rceil")
            plain_scales, (_, across) = plain["scales"][2], plain["scales"][1]
            numbers = self.dequantize()
            _, tensors = self.quantize(data, "--block", "mxfp4-rceil", "--scale-layout", "mn_major_packed")
            self.assertEqual(tensors["codes"], plain["codes"])
            column = -(-rows // 4) * 4
            self.assertEqual(tensors["scales"][1], [-(-across // 4), column, 4])
            packed = tensors["scales"][2]
            for c in range(across):
                at = c // 4 * column * 4 + c % 4
                self.assertEqual(packed[at:at + 4 * rows:4], plain_scales[c::across])
            self.assertEqual(self.dequantize(), numbers)

    def test_scale_layouts_are_for_their_widths(self):
        source = self.file("x.npy", f32([1.0] * 64, (2, 32)))
        for preset, layout, says in (("mxfp4-rceil", "mn_major", "scale factors of 4 bytes, not of 1"),
                                     ("fp4-fp32", "mn_major_packed", "scale factors of 1 bytes, not of 4"),
                                     ("fp4-fp32", "swizzled_128x4", "scale factors of 1 bytes, not of 4"),
                                     ("nvfp4", "mn_packed", "unknown scale layout 'mn_packed'")):
            self.refuses("quantize", "--block", preset, "--scale-layout", layout, source,
                         self.folder / "q.safetensors", says=says)

    def test_poison(self):
        values = [1.0] * 31 + [math.nan] + [1.0] * 32
        self.quantize(f32(values, (1, 64)), "--block", "mxfp4-rceil", "--poison")
        back = self.dequantize()[1]
        self.assertTrue(all(math.isnan(x) for x in back[:32]))
        self.assertEqual(back[32:], [1.0] * 32)

    def test_learned_scales(self):
        self.file("s.npy", f32([0.5, 2.0], (1, 2)))
        _, tensors = self.quantize(f32([3.0] * 32 + [12.0] * 32, (1, 64)), "--block", "article",
                                   "--scales", self.folder / "s.npy")
        self.assertEqual(tensors["scales"], ("F32", [1, 2], struct.pack("<2f", 0.5, 2.0)))
        self.assertEqual(self.dequantize()[1], [3.0] * 32 + [12.0] * 32)

if __name__ == "__main__":
    unittest.main()
