# SPDX-License-Identifier: Apache-2.0
"""assay formats, convert, quantize, dequantize: what they compute, on inputs whose answer is known."""
import fractions
import json
import math
import struct
import unittest

from cli_fixture import CliTest, f32, npy, read_npy, read_safetensors


class Formats(CliTest):
    def test_overview_names_every_table(self):
        text = self.passes("formats").stdout
        for name in ("e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "ue4m3", "e8m0", "int4", "e5m6", "bf16",
                     "fp16", "tf32", "fp32", "nvfp4", "mxfp4-rceil", "deepseek-v4", "article",
                     "saturating", "cuda13", "ml_dtypes", "ocp_saturating", "ocp_nonsaturating"):
            self.assertIn("\n" + name + " ", text)

    def test_overview_has_packed_blocks_and_short_names(self):
        text = self.passes("formats").stdout
        for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k", "mxfp4-ggml", "nvfp4-ggml",
                     "mxfp6", "mxfp6-e3m2", "mxfp8", "mxfp8-e5m2", "int4"):
            self.assertIn("\n" + name + " ", text)
        everything = json.loads(self.passes("formats", "--json", "-").stdout)
        q4_0 = next(row for row in everything["packed_blocks"] if row["name"] == "q4_0")
        # block_q4_0 of ggml-common.h: an FP16 and 16 bytes of 32 nibbles.
        self.assertEqual((q4_0["elements"], q4_0["bytes"], q4_0["bits/element"], q4_0["GGUF type"]), (32, 18, 4.5, 2))
        self.assertEqual(json.loads(self.passes("formats", "q4_0", "--json", "-").stdout), q4_0)
        q4_k = json.loads(self.passes("formats", "q4_k", "--json", "-").stdout)
        self.assertEqual((q4_k["elements"], q4_k["bytes"], q4_k["sub-block"]), (256, 144, 32))
        self.assertIn("read only", self.passes("formats", "q6_k").stdout)

    def test_short_names_are_block_formats(self):
        everything = json.loads(self.passes("formats", "--json", "-").stdout)
        formats = {row["name"] for row in everything["formats"]}
        for row in everything["short_names"]:
            meant = self.passes("formats", row["block format"]).stdout
            self.assertIn(row["name"], meant.split("short names")[1].splitlines()[0])
            if row["name"] in formats:  # int4: the integers, whose table names the preset
                self.assertRegex(self.passes("formats", row["name"]).stdout,
                                 r"as a block format *" + row["block format"])
            else:
                self.assertEqual(self.passes("formats", row["name"]).stdout, meant)
        self.refuses("formats", "mxfp66", says="did you mean 'mxfp6'")
        self.refuses("formats", "q4_00", says="did you mean 'q4_0'")

    def test_candidates_are_named(self):
        text = self.passes("formats", "nvfp4-4over6-mae").stdout
        self.assertRegex(text, "nvfp4-4over6-six, nvfp4-4over6-four; .* least absolute error")

    def test_e2m1_codes(self):
        self.passes("formats", "e2m1", "--json", self.folder / "e2m1.json")
        table = json.loads((self.folder / "e2m1.json").read_text())
        magnitudes = ["0", "0.5", "1", "1.5", "2", "3", "4", "6"]
        self.assertEqual([row["decimal"] for row in table["codes"]],
                         magnitudes + ["-" + m for m in magnitudes])
        self.assertEqual(table["codes"][3],
                         {"code": "0x3", "bits": "0 01 1", "decimal": "1.5", "hexadecimal": "0x1.8p+0",
                          "dyadic": "3*2^-1"})
        self.assertEqual((table["max"], table["min positive"], table["NaN"]),
                         ("6 = 3*2^1", "0.5 = 1*2^-1", "none"))

    def test_specials(self):
        e8m0 = json.loads(self.passes("formats", "e8m0", "--json", "-").stdout)
        self.assertEqual(e8m0["codes"][0]["dyadic"], "1*2^-127")
        self.assertEqual(e8m0["codes"][255]["dyadic"], "NaN")
        self.assertEqual((e8m0["zero"], e8m0["max"].split()[-1]), ("none", "1*2^127"))
        e4m3 = json.loads(self.passes("formats", "e4m3", "--json", "-").stdout)
        self.assertEqual(len(e4m3["codes"]), 256)
        self.assertEqual((e4m3["codes"][0x7E]["decimal"], e4m3["codes"][0x7F]["dyadic"],
                          e4m3["codes"][0xFF]["dyadic"]), ("448", "NaN", "-NaN"))
        self.assertEqual(e4m3["min positive"], "0.001953125 = 1*2^-9")

    def test_cells_that_a_format_can_express(self):
        for name, overflow, nan in (
                ("e2m1", "saturate", "max_finite, zero, opposite_zero"),
                ("e4m3", "saturate, to_nan",
                 "canonical, keep_sign, all_ones, max_finite, zero, opposite_zero"),
                ("e5m2", "saturate, to_infinity, to_nan",
                 "canonical, keep_sign, all_ones, max_finite, zero, opposite_zero"),
                ("e8m0", "saturate, to_nan", "canonical, keep_sign, all_ones, max_finite"),
                ("int4", "saturate", "max_finite, zero")):
            table = json.loads(self.passes("formats", name, "--json", "-").stdout)
            self.assertEqual((table["overflow"], table["NaN becomes"]), (overflow, nan), name)
        e4m3 = json.loads(self.passes("formats", "e4m3", "--json", "-").stdout)
        self.assertTrue(e4m3["profiles"].endswith("ml_dtypes, ocp_saturating, ocp_nonsaturating"))

    def test_int4_codes(self):
        codes = json.loads(self.passes("formats", "int4", "--json", "-").stdout)["codes"]
        self.assertEqual([int(row["decimal"]) for row in codes], [*range(8), *range(-8, 0)])
        self.assertEqual(codes[0xF]["bits"], "1111")

    def test_orders_and_profiles_are_spelled_out(self):
        self.assertIn("amax_block / 6", self.passes("formats", "mxfp4-rceil").stdout)
        self.assertIn("keep_sign", self.passes("formats", "cuda13").stdout)


class Convert(CliTest):
    def convert(self, content, *options):
        source, out = self.file("in.npy", content), self.folder / "out.npy"
        self.passes("convert", *options, source, out)
        return read_npy(out)

    def test_ties_go_to_the_even_code(self):
        values = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0, -0.0, -0.25, -5.1]
        descr, shape, codes = self.convert(f32(values), "--from", "f32", "--to", "e2m1", "--rounding",
                                           "nearest_even", "--policy", "cuda13")
        self.assertEqual((descr, shape), ("|u1", (11,)))
        self.assertEqual(list(codes), [0, 2, 2, 4, 4, 6, 6, 7, 8, 8, 15])

    def test_int4_is_symmetric_and_has_one_zero(self):
        values = [0.5, 1.5, 7.5, 100.0, -0.0, -0.5, -1.5, -7.5, -8.0, math.inf, -math.inf, math.nan]
        codes = list(self.convert(f32(values), "--to", "int4")[2])
        self.assertEqual(codes, [0, 2, 7, 7, 0, 0, 0xE, 9, 9, 7, 9, 0])

    def test_tf32_keeps_the_place_of_fp32(self):
        # 1 + 2^-10 is the TF32 number after 1; half way to it goes to the even one.
        descr, _, codes = self.convert(f32([1.0, 1 + 2.0**-10, 1 + 2.0**-11, -3.0e38]), "--to", "tf32")
        self.assertEqual(descr, "<u4")
        words = list(struct.unpack("<4I", codes))
        self.assertEqual(words, [0x3F800000, 0x3F802000, 0x3F800000,
                                 struct.unpack("<I", struct.pack("<f", -3.0e38))[0] + 0x1000
                                 & 0xFFFFE000])

    def test_profiles_of_six_and_eight_bit_formats(self):
        values = [math.inf, -math.inf, 1.0e30, math.nan, 61440.0]
        for to, policy, codes in (("e5m2", "ocp_saturating", [0x7B, 0xFB, 0x7B, 0x7E, 0x7B]),
                                  ("e5m2", "ocp_nonsaturating", [0x7C, 0xFC, 0x7C, 0x7E, 0x7C]),
                                  ("e5m2", "cuda13", [0x7B, 0xFB, 0x7B, 0x7F, 0x7B]),
                                  ("e4m3", "ocp_nonsaturating", [0x7F, 0xFF, 0x7F, 0x7F, 0x7F]),
                                  ("e4m3", "ml_dtypes", [0x7F, 0xFF, 0x7F, 0x7F, 0x7F]),
                                  ("e2m3", "ocp_saturating", [0x1F, 0x3F, 0x1F, 0x1F, 0x1F]),
                                  ("e3m2", "ml_dtypes", [0x1F, 0x3F, 0x1F, 0x20, 0x1F])):
            self.assertEqual(list(self.convert(f32(values), "--to", to, "--policy", policy)[2]), codes,
                             (to, policy))

    def test_cells_that_do_not_exist_are_refused_by_name(self):
        source = self.file("in.npy", f32([1.0]))
        result = self.run_assay("convert", "--to", "e2m1", "--policy", "ocp_nonsaturating", source,
                                self.folder / "out.npy")
        self.assertEqual(result.returncode, 4)
        self.assertIn("profile ocp_nonsaturating says nothing about format e2m1", result.stderr)
        self.assertIn("e4m3, e5m2", result.stderr)

    def test_every_rounding_mode(self):
        # 1.75 is the tie between 1.5 (code 3) and 2 (code 4); -1.6 lies between codes 0xB and 0xC.
        expected = {"nearest_even": [4, 0xB], "nearest_away": [4, 0xB], "toward_zero": [3, 0xB],
                    "toward_positive": [4, 0xB], "toward_negative": [3, 0xC], "to_odd": [3, 0xB]}
        for mode, codes in expected.items():
            self.assertEqual(list(self.convert(f32([1.75, -1.6]), "--to", "e2m1", "--rounding", mode)[2]),
                             codes, mode)

    def test_f64_is_rounded_once(self):
        # The FP32 nearest to 0.25 + 2^-54 is the tie 0.25, which would go to 0.
        data = struct.pack("<2d", 0.25 + 2.0**-54, 2.5 + 2.0**-51)
        self.assertEqual(list(self.convert(npy("<f8", (2,), data), "--from", "f64", "--to", "e2m1")[2]),
                         [1, 5])

    def test_f16_and_bf16_sources(self):
        half = struct.pack("<2e", 2.5, -6.0)
        self.assertEqual(list(self.convert(npy("<f2", (2,), half), "--from", "f16", "--to", "e2m1")[2]),
                         [4, 15])
        brain = struct.pack("<2H", 0x4020, 0xC0C0)  # 2.5, -6
        self.assertEqual(list(self.convert(npy("<u2", (2,), brain), "--from", "bf16", "--to", "e2m1")[2]),
                         [4, 15])

    def test_nan_from_f64_follows_the_profile(self):
        data = struct.pack("<Q", 0xFFF8000000000000)
        self.assertEqual(list(self.convert(npy("<f8", (1,), data), "--to", "e4m3", "--policy",
                                           "cuda13")[2]), [0xFF])

    def test_wide_codes_and_shapes(self):
        descr, shape, codes = self.convert(f32([1.0] * 24, (2, 3, 4)), "--to", "bf16")
        self.assertEqual((descr, shape, codes), ("<u2", (2, 3, 4), struct.pack("<24H", *[0x3F80] * 24)))
        descr, shape, codes = self.convert(npy("<f4", (), struct.pack("<f", 1.0)), "--to", "fp32")
        self.assertEqual((descr, shape, codes), ("<u4", (), struct.pack("<I", 0x3F800000)))

    def test_stochastic_rounding_is_seeded(self):
        values = f32([1.25] * 4096)
        options = ["--to", "e2m1", "--rounding", "stochastic", "--random-bits", "4"]
        first = self.convert(values, *options, "--seed", "7")[2]
        self.assertEqual(first, self.convert(values, *options, "--seed", "7")[2])
        self.assertNotEqual(first, self.convert(values, *options, "--seed", "8")[2])
        self.assertEqual(set(first), {2, 3})


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


class Reencode(CliTest):
    """Numbers and scales of MXFP4 that the theorems of docs/theorems.md put inside or outside."""

    ROW = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0, -0.0] * 2

    def mxfp4(self, *exponents):
        values = [x * 2.0 ** e for e in exponents for x in self.ROW]
        source = self.file("x.npy", f32(values, (len(exponents), 32)))
        self.passes("quantize", "--block", "mxfp4-rceil", source, self.folder / "m.safetensors")
        return values

    def numbers(self, name):
        self.passes("dequantize", self.folder / name, self.folder / "y.npy")
        data = read_npy(self.folder / "y.npy")[2]
        return list(struct.unpack("<%df" % (len(data) // 4), data))

    def reencode(self, target):
        return self.run_assay("reencode", "--to", target, self.folder / "m.safetensors",
                              self.folder / "r.safetensors")

    def test_nvfp4_up_to_a_spread_of_17(self):
        values = self.mxfp4(0, -17, -3)
        self.assertEqual(self.reencode("nvfp4").returncode, 0)
        _, tensors = read_safetensors(self.folder / "r.safetensors")
        self.assertEqual(tensors["tensor_scale"][2], struct.pack("<f", 2.0 ** -8))
        self.assertEqual(tensors["scales"], ("U8", [3, 2], b"\x78\x78\x01\x01\x60\x60"))
        self.assertEqual(self.numbers("r.safetensors"), values)

    def test_scale_layouts_are_kept(self):
        values = self.mxfp4(0, -17, -3, -5, -9)
        for layout, shape in (("swizzled_128x4", [128, 4]), ("mn_major_packed", [1, 8, 4])):
            self.passes("quantize", "--block", "mxfp4-rceil", "--scale-layout", layout, self.folder / "x.npy",
                        self.folder / "m.safetensors")
            self.assertEqual(self.reencode("nvfp4").returncode, 0)
            metadata, tensors = read_safetensors(self.folder / "r.safetensors")
            self.assertEqual((metadata["scale_layout"], tensors["scales"][1]), (layout, shape))
            self.assertEqual(self.numbers("r.safetensors"), values)
            done = self.reencode("fp8-deepseek-v4-weight")
            self.assertEqual(done.returncode, 4)
            self.assertIn("in the layout " + layout, done.stderr)

    def test_nvfp4_names_the_block_that_is_lost(self):
        self.mxfp4(0, -5, -18)
        done = self.reencode("nvfp4")
        self.assertEqual(done.returncode, 4)
        self.assertIn("row 2, column 0", done.stderr)
        self.assertFalse((self.folder / "r.safetensors").exists())

    def test_fp8_up_to_a_spread_of_14(self):
        values = self.mxfp4(0, -14)
        self.assertEqual(self.reencode("fp8-deepseek-v4-weight").returncode, 0)
        self.assertEqual(self.numbers("r.safetensors"), values)
        self.mxfp4(0, -15)
        done = self.reencode("fp8-deepseek-v4-weight")
        self.assertEqual(done.returncode, 4)
        self.assertIn("row 1, column 1", done.stderr)

    def test_only_mxfp4(self):
        self.mxfp4(0)
        for target in ("mxfp4-floor", "article", "fp8-deepseek-v3"):
            self.assertEqual(self.reencode(target).returncode, 4, target)
        self.assertEqual(self.reencode("nvfp4").returncode, 0)
        (self.folder / "r.safetensors").rename(self.folder / "m.safetensors")
        self.assertEqual(self.reencode("nvfp4").returncode, 4)


if __name__ == "__main__":
    unittest.main()
