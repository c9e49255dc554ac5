# SPDX-License-Identifier: Apache-2.0
"""assay formats, convert, reencode: what they compute, on inputs whose answer is known."""
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

    def test_cells_that_it_cannot_express_are_listed(self):
        for name, refused in (
                ("e2m1", "overflow to_infinity, to_nan; NaN canonical, keep_sign, all_ones; profile ocp_nonsaturating"),
                ("e4m3", "overflow to_infinity"),
                ("e5m2", "nothing"),
                ("e8m0", "overflow to_infinity; NaN zero, opposite_zero; profile ocp_saturating, ocp_nonsaturating"),
                ("int4", "overflow to_infinity, to_nan; NaN canonical, keep_sign, all_ones, opposite_zero; "
                         "profile ml_dtypes, ocp_saturating, ocp_nonsaturating")):
            table = json.loads(self.passes("formats", name, "--json", "-").stdout)
            self.assertEqual(table["refused"], refused, name)
            self.assertIn("refused", self.passes("formats", name).stdout)
        # and are errors where they are asked for
        x = self.file("x.npy", f32([1.0]))
        for table in json.loads(self.passes("formats", "--json", "-").stdout)["formats"]:
            profiles = table["refused"].partition("profile ")[2]
            for profile in filter(None, profiles.split(", ")):
                self.refuses("convert", "--to", table["name"], "--policy", profile, x, self.folder / "o.npy",
                             says="profile %s says nothing about format %s" % (profile, table["name"]))

    def test_every_scale_rule_for_every_element(self):
        everything = json.loads(self.passes("formats", "--json", "-").stdout)
        of_name = {row["name"]: row for row in everything["block_formats"]}
        rows = {row.pop("rule"): row for row in everything["scale_rules"]}
        self.assertEqual(len(rows), 11)
        for rule, cells in rows.items():
            self.assertEqual(list(cells), ["e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "int4"])
            for element, name in cells.items():
                self.assertEqual(of_name[name]["element"], element, rule)
        self.assertEqual(rows["E8M0 even"]["int4"], "mxint4-even")
        self.assertEqual(rows["E4M3 up"]["e4m3"], "nvfp8-e4m3-up")
        self.assertEqual(rows["4over6, absolute error"]["e2m3"], "nvfp6-e2m3-4over6-mae")
        self.assertEqual(rows["BF16 amax/max"]["e5m2"], "fp8-e5m2-bf16")
        self.assertRegex(self.passes("formats").stdout, r"(?m)^E8M0 ceil +mxfp4-ceil +mxfp6-e2m3-ceil ")

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
        self.passes("quantize", "--block", "q4_0", self.folder / "x.npy", self.folder / "q.safetensors")
        self.refuses("reencode", "--to", "nvfp4", self.folder / "q.safetensors", self.folder / "r.safetensors",
                     says="holds q4_0 blocks, which dequantize alone reads")


if __name__ == "__main__":
    unittest.main()
