# SPDX-License-Identifier: Apache-2.0
"""assay dequantize of other programs' checkpoints, against exact fractions; and hostile ones."""
import json
import os
import random
import resource
import struct
import subprocess
import unittest
from fractions import Fraction

from checkpoint_fixture import (BLOCKS, E2M1, NAN, e4m3, e8m0, gguf, half, nvfp4, random_blocks,
                                safetensors_of, same, single, string, values_of)
from cli_fixture import ASSAY, SANITIZED, CliTest, f32, read_npy, read_safetensors


def times(*factors):
    if NAN in factors:
        return NAN
    product = Fraction(1)
    for factor in factors:
        product *= factor
    return product


def nibbles(raw):
    return [code for byte in raw for code in (byte & 15, byte >> 4)]


def words(floats):
    return [struct.unpack("<I", struct.pack("<f", x))[0] for x in floats]


class Checkpoints(CliTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(17)

    def floats(self, count):
        """Random positive f32 bits of exponents near 1."""
        return [self.random.randrange(0x3A000000, 0x42000000) for _ in range(count)]

    def read(self, path, *options):
        out = self.folder / "y.npy"
        self.passes("dequantize", path, *options, out)
        descr, shape, data = read_npy(out)
        self.assertEqual(descr, "<f4")
        return shape, struct.unpack("<%df" % (len(data) // 4), data)

    def check(self, path, shape, expected, *options):
        actual_shape, values = self.read(path, *options)
        self.assertEqual(actual_shape, tuple(shape))
        self.assertTrue(same(values, expected), (path, options))

    def listed(self, path, *options):
        self.passes("dequantize", path, "--list", "--json", self.folder / "list.json", *options)
        return {t["name"]: t for t in json.loads((self.folder / "list.json").read_text())["tensors"]}


class Gguf(Checkpoints):
    def test_every_block_type(self):
        for version in (2, 3):
            for alignment in (32, 64, 8):
                tensors = [("t." + name, [elements * 3, 2], number, random_blocks(self.random, name, 6))
                           for name, (number, elements, _, _, _) in BLOCKS.items()]
                path = self.file("m.gguf", gguf(tensors, version=version, alignment=alignment))
                for (name, dims, _, raw), kind in zip(tensors, BLOCKS):
                    self.check(path, reversed(dims), values_of(kind, raw), "--tensor", name)
        kinds = {t["kind"] for t in self.listed(path).values()}
        self.assertEqual(kinds, set(BLOCKS))

    def test_every_scale_code_of_mxfp4_and_nvfp4(self):
        raw = b"".join(bytes([code]) + self.random.randbytes(16) for code in range(256))
        self.check(self.file("m.gguf", gguf([("x", [32, 256], 39, raw)])), (256, 32), values_of("mxfp4-ggml", raw))
        raw = b"".join(bytes([4 * i + k for k in range(4)]) + self.random.randbytes(32) for i in range(64))
        self.check(self.file("m.gguf", gguf([("x", [64, 64], 40, raw)])), (64, 64), values_of("nvfp4-ggml", raw))

    def test_numbers_and_metadata_of_every_type(self):
        text = string("a string")
        metadata = [("a.%d" % kind, kind, bytes(size)) for kind, size in
                    ((0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8))]
        metadata += [("a.8", 8, text), ("a.9", 9, struct.pack("<IQ", 8, 2) + text + text),
                     ("a.nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 0, 3) + b"abc"),
                     ("a.empty", 9, struct.pack("<IQ", 4, 0))]
        bits = self.floats(8)
        halves = [self.random.randrange(0x7C00) for _ in range(8)]
        path = self.file("m.gguf", gguf([
            ("f32", [8], 0, struct.pack("<8I", *bits)), ("f16", [4, 2], 1, struct.pack("<8H", *halves)),
            ("bf16", [2, 2, 2], 30, struct.pack("<8H", *(b >> 16 for b in bits))),
            ("i32", [2], 26, struct.pack("<2i", -7, 1 << 20)), ("iq", [256], 16, bytes(66))], metadata))
        self.check(path, (8,), list(map(single, bits)), "--tensor", "f32")
        self.check(path, (2, 4), list(map(half, halves)), "--tensor", "f16")
        self.check(path, (2, 2, 2), [single(b >> 16 << 16) for b in bits], "--tensor", "bf16")
        self.check(path, (2,), [Fraction(-7), Fraction(1 << 20)], "--tensor", "i32")
        self.refuses("dequantize", path, "--tensor", "iq", self.folder / "z.npy", says="iq2_xxs")
        self.assertIn("problem", self.listed(path)["iq"])
        self.refuses("dequantize", path, self.folder / "z.safetensors", says="iq2_xxs",
                     leaves=())
        self.refuses("dequantize", path, self.folder / "z.npy", says="--tensor")
        self.refuses("dequantize", path, "--tensor", "f31", self.folder / "z.npy", says="did you mean 'f32'")
        self.refuses("dequantize", path, says="OUT")

    def test_nvfp4_factors_of_a_tensor_and_of_its_experts(self):
        one, three = self.floats(1), self.floats(3)
        raw, experts = random_blocks(self.random, "nvfp4-ggml", 6), random_blocks(self.random, "nvfp4-ggml", 12)
        path = self.file("m.gguf", gguf([
            ("a.weight", [128, 3], 40, raw), ("a.scale", [1], 0, struct.pack("<I", *one)),
            ("e.weight", [128, 2, 3], 40, experts), ("e.scale", [3], 0, struct.pack("<3I", *three))]))
        self.check(path, (3, 128), [times(v, single(one[0])) for v in values_of("nvfp4-ggml", raw)],
                   "--tensor", "a.weight")
        expected = [times(v, single(three[i // 256])) for i, v in enumerate(values_of("nvfp4-ggml", experts))]
        self.check(path, (3, 2, 128), expected, "--tensor", "e.weight")
        self.refuses("dequantize", path, "--global-scale", "divisor", "--tensor", "a.weight",
                     self.folder / "z.npy", says="GGUF")

    def test_all_tensors_into_one_file(self):
        raw = random_blocks(self.random, "q4_0", 4)
        path = self.file("m.gguf", gguf([("b", [64, 2], 2, raw), ("a", [2], 0, struct.pack("<2f", 1, 2))]))
        out = self.folder / "all.safetensors"
        self.passes("dequantize", path, out)
        whole = out.read_bytes()
        (length,) = struct.unpack("<Q", whole[:8])
        header = json.loads(whole[8:8 + length])
        self.assertEqual({k: (v["dtype"], v["shape"]) for k, v in header.items()},
                         {"b": ("F32", [2, 64]), "a": ("F32", [2])})
        data = whole[8 + length:][slice(*header["b"]["data_offsets"])]
        self.assertTrue(same(struct.unpack("<128f", data), values_of("q4_0", raw)))
        # And its output is a checkpoint of plain numbers.
        self.check(out, (2,), [Fraction(1), Fraction(2)], "--tensor", "a")

    def refuse(self, content, says=""):
        self.assertIn("m.gguf", self.refuses("dequantize", self.file("m.gguf", content), "--tensor", "x",
                                             self.folder / "y.npy", says=says))

    def test_hostile_files(self):
        block = random_blocks(self.random, "q4_0", 1)
        good = gguf([("x", [32], 2, block)], [("k", 8, string("v"))])
        self.passes("dequantize", self.file("m.gguf", good), self.folder / "y.npy")
        (self.folder / "y.npy").unlink()
        last = len(good) - (32 - 18)
        for length in range(0, last, 1 if not SANITIZED else 7):
            self.refuse(good[:length])
        self.refuse(b"GGUX" + good[4:])
        for version, says in ((1, "version 1"), (4, "version 4"), (0x03000000, "big endian")):
            self.refuse(good[:4] + struct.pack("<I", version) + good[8:], says)
        self.refuse(good[:8] + struct.pack("<Q", 1 << 60) + good[16:], "tensors")
        self.refuse(good[:16] + struct.pack("<Q", 1 << 60) + good[24:], "metadata entries")
        for dims, says in (([31], "whole"), ([1 << 63], "2^63"), ([1 << 40, 1 << 40], "too large"),
                           ([32] * 5, "extents"), ([64], "truncated")):
            self.refuse(gguf([("x", dims, 2, block)]), says)
        self.refuse(gguf([("x", [32], 99, block)]), "type 99")
        self.refuse(gguf([("x", [32], 4, block)]), "type 4")
        self.refuse(gguf([("x", [32], 2, block)], offsets=[1]), "alignment")
        self.refuse(gguf([("x", [32], 2, block)], offsets=[1 << 62]), "beyond")
        two = [("x", [32], 2, block), ("y", [32], 2, block)]
        self.refuse(gguf(two, offsets=[0, 0]), "overlaps")
        self.refuse(gguf([two[0], two[0]]), "twice")
        self.refuse(gguf([two[0]], [("k", 0, b"\0"), ("k", 0, b"\0")]), "twice")
        for kind, raw, says in ((13, b"", "unknown type 13"), (7, b"\2", "truth"), (8, struct.pack("<Q", 1 << 50), "claims"),
                                (9, struct.pack("<IQ", 4, 1 << 61), "elements"), (9, struct.pack("<IQ", 77, 1), "unknown type 77"),
                                (9, struct.pack("<IQ", 9, 1) * 9 + struct.pack("<IQ", 0, 0), "deeply")):
            self.refuse(gguf([two[0]], [("k", kind, raw)]), says)
        for value in (0, 12, 31):
            self.refuse(gguf([two[0]], [("general.alignment", 4, struct.pack("<I", value))]), "multiple of 8")
        self.refuse(gguf([two[0]], [("general.alignment", 8, string("32"))]), "32-bit")
        self.refuse(gguf([]), "no tensors")

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory is not the program's")
    def test_memory_is_bounded(self):
        rows = 1 << 13
        path = self.file("big.gguf", gguf([("x", [1 << 15, rows], 2, b"")]))
        os.truncate(path, path.stat().st_size + (1 << 15) // 32 * 18 * rows)  # zeros that take no room
        process = subprocess.Popen([ASSAY, "dequantize", path, self.folder / "y.npy"])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertLess(usage.ru_maxrss, 128 * 1024, "kB resident")


class Safetensors(Checkpoints):
    rows, cols = 6, 64

    def nvfp4_parts(self, matrices=1):
        n = matrices * self.rows * self.cols
        return self.random.randbytes(n // 2), self.random.randbytes(n // 16)

    def nvfp4_values(self, codes, scales, apply):
        """apply(product, matrix)"""
        per = self.rows * self.cols
        return [apply(times(E2M1[c], e4m3(scales[i // 16])), i // per) for i, c in enumerate(nibbles(codes))]

    def nvfp4_file(self, names, bits, extra=None, folder=None, matrices=1):
        codes, scales = self.nvfp4_parts(matrices)
        lead = [matrices] if matrices > 1 else []
        tensors = {"l.0." + names[0]: ("U8", lead + [self.rows, self.cols // 2], codes),
                   "l.0." + names[1]: ("F8_E4M3", lead + [self.rows, self.cols // 16], scales),
                   "l.0." + names[2]: ("F32", [len(bits)], struct.pack("<%dI" % len(bits), *bits))}
        tensors.update(extra or {})
        path = (folder or self.folder) / "model.safetensors"
        path.write_bytes(safetensors_of(tensors))
        return path, codes, scales

    divisor = ("weight_packed", "weight_scale", "weight_global_scale")
    multiplier = ("weight", "weight_scale", "weight_scale_2")

    def test_compressed_tensors_divides(self):
        for bits in self.floats(8) + [0x00800001, 0x7F7FFFFF, 0x00000001]:
            path, codes, scales = self.nvfp4_file(self.divisor, [bits])
            g = single(bits)
            expected = self.nvfp4_values(codes, scales, lambda v, _: v if v == NAN else v / g)
            self.check(path, (self.rows, self.cols), expected)
        self.assertEqual(self.listed(path)["l.0.weight"]["kind"], "nvfp4-pack-quantized")
        self.check(path, (self.rows, self.cols),
                   self.nvfp4_values(codes, scales, lambda v, _: times(v, g)), "--global-scale", "multiplier")

    def test_modelopt_multiplies(self):
        for bits in self.floats(8) + [0x00800001, 0x7F7FFFFF, 0x00000001]:
            path, codes, scales = self.nvfp4_file(self.multiplier, [bits])
            self.check(path, (self.rows, self.cols),
                       self.nvfp4_values(codes, scales, lambda v, _: times(v, single(bits))))
        experts = self.floats(3)
        path, codes, scales = self.nvfp4_file(self.multiplier, experts, matrices=3)
        self.check(path, (3, self.rows, self.cols),
                   self.nvfp4_values(codes, scales, lambda v, m: times(v, single(experts[m]))))

    def test_an_ambiguous_global_scale_is_asked_for(self):
        out = self.folder / "y.npy"
        one = struct.pack("<f", 2)
        for names, extra in ((("weight_packed", "weight_scale", "weight_scale_2"), {}),
                             (("weight", "weight_scale", "weight_global_scale"), {}),
                             (self.divisor, {"l.0.weight_scale_2": ("F32", [1], one)}),
                             (self.multiplier, {"l.0.weight_global_scale": ("F32", [1], one)})):
            path, codes, scales = self.nvfp4_file(names, words([2.0]), extra)
            options = ["--tensor", "l.0.weight"]
            self.refuses("dequantize", path, *options, out, says="--global-scale")
            self.check(path, (self.rows, self.cols), self.nvfp4_values(codes, scales, lambda v, _: times(v, Fraction(2))),
                       *options, "--global-scale", "multiplier")
            self.check(path, (self.rows, self.cols), self.nvfp4_values(codes, scales, lambda v, _: times(v, Fraction(1, 2))),
                       *options, "--global-scale", "divisor")
            out.unlink()
        self.refuses("dequantize", path, out, "--global-scale", "divisr", says="did you mean 'divisor'")

    def test_the_configuration_beside_it_counts(self):
        for config, names, refused in (
                ({"quantization_config": {"quant_method": "modelopt"}}, self.divisor, True),
                ({"quantization_config": {"quant_method": "compressed-tensors"}}, self.multiplier, True),
                ({"quantization_config": {"quant_method": "compressed-tensors"}}, self.divisor, False),
                ({}, self.multiplier, False)):
            folder = self.folder / "model"
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(config))
            self.nvfp4_file(names, words([2.0]), folder=folder)
            if refused:
                self.refuses("dequantize", folder, self.folder / "y.npy", says="--global-scale")
            else:
                self.passes("dequantize", folder, self.folder / "y.npy")
                (self.folder / "y.npy").unlink()
        (folder / "config.json").unlink()
        (folder / "hf_quant_config.json").write_text(json.dumps({"producer": {"name": "modelopt"}}))
        self.nvfp4_file(self.divisor, words([2.0]), folder=folder)
        self.refuses("dequantize", folder, self.folder / "y.npy", says="modelopt")
        (folder / "config.json").write_text("{")
        self.refuses("dequantize", folder, self.folder / "y.npy", says="JSON")

    def test_mxfp4_of_four_makers(self):
        codes, scales = self.random.randbytes(self.rows * self.cols // 2), self.random.randbytes(self.rows * 2)
        expected = [times(E2M1[c], e8m0(scales[i // 32])) for i, c in enumerate(nibbles(codes))]
        packed, grid = [self.rows, self.cols // 2], [self.rows, self.cols // 32]
        for kind, tensors in (
                ("mxfp4-pack-quantized", {"a.weight_packed": ("U8", packed, codes), "a.weight_scale": ("U8", grid, scales)}),
                ("modelopt mxfp4", {"a.weight": ("U8", packed, codes), "a.weight_scale": ("U8", grid, scales)}),
                ("modelopt mxfp4", {"a.weight": ("U8", packed, codes), "a.weight_scale": ("F8_E8M0", grid, scales)}),
                ("deepseek-v4 mxfp4", {"a.weight": ("I8", packed, codes), "a.scale": ("F8_E8M0", grid, scales)})):
            path = self.file("m.safetensors", safetensors_of(tensors))
            self.assertEqual([(n, t["kind"], t["shape"]) for n, t in self.listed(path).items()],
                             [("a.weight", kind, [self.rows, self.cols])])
            self.check(path, (self.rows, self.cols), expected)
        for names in (("up_blocks", "up_scales"), ("up.blocks", "up.scales")):
            path = self.file("m.safetensors", safetensors_of({
                names[0]: ("U8", [2, 3, 2, 16], codes), names[1]: ("U8", [2, 3, 2], scales)}))
            self.assertEqual(self.listed(path)["up"]["kind"], "gpt-oss mxfp4")
            self.check(path, (2, 3, 64), expected)

    def test_fp8(self):
        rows, cols = 130, 260
        codes = self.random.randbytes(rows * cols)
        decoded = [e4m3(c) for c in codes]
        blocks = self.floats(2 * 3)
        per_row, group, exponents = self.floats(rows), self.floats(rows * 4), self.random.randbytes(6)
        thirty_two = self.random.randbytes(rows * 9)

        def check(suffix, dtype, shape, raw, scale_of, kind):
            path = self.file("m.safetensors", safetensors_of({
                "a.weight": ("F8_E4M3", [rows, cols], codes), "a." + suffix: (dtype, shape, raw)}))
            self.assertEqual(self.listed(path)["a.weight"]["kind"], kind)
            self.check(path, (rows, cols),
                       [times(v, scale_of(i // cols, i % cols)) for i, v in enumerate(decoded)])

        pack = lambda bits: struct.pack("<%dI" % len(bits), *bits)
        check("weight_scale_inv", "F32", [2, 3], pack(blocks),
              lambda r, c: single(blocks[r // 128 * 3 + c // 128]), "deepseek fp8")
        check("scale", "F8_E8M0", [2, 3], exponents, lambda r, c: e8m0(exponents[r // 128 * 3 + c // 128]),
              "deepseek-v4 fp8")
        check("weight_scale", "F32", [2, 3], pack(blocks), lambda r, c: single(blocks[r // 128 * 3 + c // 128]),
              "float-quantized")
        check("weight_scale", "F32", [rows, 1], pack(per_row), lambda r, c: single(per_row[r]), "float-quantized")
        check("weight_scale", "F32", [rows], pack(per_row), lambda r, c: single(per_row[r]), "float-quantized")
        check("weight_scale", "F32", [], pack(per_row[:1]), lambda r, c: single(per_row[0]), "float-quantized")
        check("weight_scale", "F32", [rows, 4], pack(group), lambda r, c: single(group[r * 4 + c // 65]), "float-quantized")
        check("weight_scale", "BF16", [1], struct.pack("<H", per_row[0] >> 16),
              lambda r, c: single(per_row[0] >> 16 << 16), "float-quantized")
        check("weight_scale", "U8", [rows, 9], thirty_two, lambda r, c: e8m0(thirty_two[r * 9 + c // 32]), "mxfp8")

    def test_integers(self):
        rows, cols = 3, 40
        scales = self.floats(rows * 5)
        pack = struct.pack("<15I", *scales)
        for bits, per_word in ((4, 8), (8, 4)):
            row_bytes = (cols + per_word - 1) // per_word * 4
            raw = self.random.randbytes(rows * row_bytes)
            expected = []
            for i in range(rows * cols):
                r, c = divmod(i, cols)
                (word,) = struct.unpack_from("<I", raw, r * row_bytes + c // per_word * 4)
                code = word >> (c % per_word * bits) & ((1 << bits) - 1)
                expected.append((code - (1 << (bits - 1))) * single(scales[r * 5 + c // 8]))
            tensors = {"a.weight_packed": ("I32", [rows, row_bytes // 4], raw), "a.weight_scale": ("F32", [rows, 5], pack),
                       "a.weight_shape": ("I64", [2], struct.pack("<2q", rows, cols))}
            path = self.file("m.safetensors", safetensors_of(tensors))
            self.check(path, (rows, cols), expected)
            self.refuse(tensors, "weight_zero_point", {"a.weight_zero_point": ("I32", [1], bytes(4))})
            self.refuse(tensors, "weight_g_idx", {"a.weight_g_idx": ("I32", [1], bytes(4))})
            self.refuse(tensors, "weight_shape", {"a.weight_shape": None})
            self.refuse(tensors, "weight_shape", {"a.weight_shape": ("I64", [2], struct.pack("<2q", rows + 1, cols))})
            self.refuse(tensors, "bits", {"a.weight_shape": ("I64", [2], struct.pack("<2q", rows, 1 << 40))})
        raw = self.random.randbytes(rows * cols)
        path = self.file("m.safetensors", safetensors_of({
            "a.weight": ("I8", [rows, cols], raw), "a.weight_scale": ("F32", [rows, 1], pack[:12])}))
        self.check(path, (rows, cols), [(c - 256 if c > 127 else c) * single(scales[i // cols])
                                        for i, c in enumerate(raw)])

    def refuse(self, tensors, says, change):
        changed = {**tensors, **change}
        path = self.file("m.safetensors", safetensors_of({k: v for k, v in changed.items() if v}))
        self.refuses("dequantize", path, "--tensor", "a.weight", self.folder / "out.npy", says=says)

    def test_what_does_not_fit_is_one_sentence(self):
        codes, scales = self.nvfp4_parts()
        grid = [self.rows, self.cols // 16]
        tensors = {"a.weight": ("U8", [self.rows, self.cols // 2], codes), "a.weight_scale": ("F8_E4M3", grid, scales),
                   "a.weight_scale_2": ("F32", [], struct.pack("<f", 1))}
        path = self.file("m.safetensors", safetensors_of(tensors))
        self.passes("dequantize", path, self.folder / "y.npy")
        self.refuse(tensors, "weight_scale_2", {"a.weight_scale_2": None})
        self.refuse(tensors, "fits no known kind", {"a.weight_scale": ("F64", [3], bytes(24))})
        self.refuse(tensors, "do not fit", {"a.weight_scale": ("F8_E4M3", [self.rows, 5], scales + bytes(6))})
        self.refuse(tensors, "do not fit", {"a.weight_scale": ("F8_E4M3", grid[::-1], scales)})
        self.refuse(tensors, "do not fit", {"a.weight_scale": ("F8_E4M3", [24], scales)})
        for bits in (0, 0xBF800000, 0x7F800000, 0x7FC00000):
            self.refuse(tensors, "positive", {"a.weight_scale_2": ("F32", [], struct.pack("<I", bits))})
        self.refuse(tensors, "global scales", {"a.weight_scale_2": ("F32", [2], bytes(8))})
        self.refuse(tensors, "F32, BF16 or F16", {"a.weight_scale_2": ("I32", [1], bytes(4))})
        packed = {"a.weight_packed": tensors["a.weight"], "b.x": ("F32", [1], bytes(4))}
        path = self.file("m.safetensors", safetensors_of(packed))
        self.refuses("dequantize", path, "--tensor", "a.weight_packed", self.folder / "z.npy", says="weight_scale")
        fp8 = {"a.weight": ("F8_E4M3", [2, 2], bytes(4)), "b.weight": ("F8_E4M3", [2, 2], bytes(4)),
               "b.weight_scale": ("F32", [1], struct.pack("<f", 1))}
        self.refuse(fp8, "scale factors", {})
        # A checkpoint without any scale factors is one of plain FP8 numbers.
        self.passes("dequantize", self.file("m.safetensors", safetensors_of({"a.weight": fp8["a.weight"]})),
                    self.folder / "y.npy")
        folder = self.folder / "empty"
        folder.mkdir()
        self.refuses("dequantize", folder, self.folder / "z.npy", says="no .safetensors")
        whole = safetensors_of(tensors)
        for length in range(0, len(whole), 13):
            self.refuses("dequantize", self.file("cut.safetensors", whole[:length]), self.folder / "z.npy",
                         says="cut.safetensors")

    def test_shards(self):
        folder = self.folder / "model"
        folder.mkdir()
        codes, scales = self.nvfp4_parts()
        packed = ("U8", [self.rows, self.cols // 2], codes)
        rest = {"a.weight_scale": ("F8_E4M3", [self.rows, self.cols // 16], scales),
                "a.weight_scale_2": ("F32", [], struct.pack("<f", 0.5)), "norm.weight": ("BF16", [2], b"\x80\x3f\x00\x40")}
        (folder / "model-1.safetensors").write_bytes(safetensors_of({"a.weight": packed}))
        (folder / "model-2.safetensors").write_bytes(safetensors_of(rest))
        expected = self.nvfp4_values(codes, scales, lambda v, _: times(v, Fraction(1, 2)))
        self.check(folder, (self.rows, self.cols), expected, "--tensor", "a.weight")
        self.check(folder, (2,), [Fraction(1), Fraction(2)], "--tensor", "norm.weight")
        self.passes("dequantize", folder, self.folder / "all.safetensors")
        (folder / "model-3.safetensors").write_bytes(safetensors_of({"a.weight": packed}))
        self.refuses("dequantize", folder, "--list", says="two of its files")


class Packed(CliTest):
    def test_quantize_and_back(self):
        generator = random.Random(5)
        for preset, block, size in (("q4_0", 32, 18), ("q4_k", 256, 144)):
            values = [generator.gauss(0, 1) for _ in range(3 * 2 * block)]
            x = self.file("x.npy", f32(values, (3, 2 * block)))
            q = self.folder / "q.safetensors"
            self.passes("quantize", "--block", preset, x, q)
            metadata, tensors = read_safetensors(q)
            self.assertEqual((metadata["preset"], metadata["shape"]), (preset, "3,%d" % (2 * block)))
            dtype, shape, raw = tensors["blocks"]
            self.assertEqual((dtype, shape), ("U8", [3, 2 * size]))
            self.passes("dequantize", q, self.folder / "y.npy")
            _, shape, data = read_npy(self.folder / "y.npy")
            back = struct.unpack("<%df" % len(values), data)
            self.assertEqual(shape, (3, 2 * block))
            self.assertTrue(same(back, values_of(preset, raw)))
            self.assertLess(sum((a - b) ** 2 for a, b in zip(values, back)) / len(values), 0.02)
            # The same bytes in a GGUF file read the same.
            path = self.file("m.gguf", gguf([("x", [2 * block, 3], BLOCKS[preset][0], raw)]))
            self.passes("dequantize", path, self.folder / "z.npy")
            self.assertEqual((self.folder / "z.npy").read_bytes(), (self.folder / "y.npy").read_bytes())
            for file in ("q.safetensors", "y.npy", "z.npy"):
                (self.folder / file).unlink()
            short = self.file("s.npy", f32([1.0] * (block - 1)))
            self.refuses("quantize", "--block", preset, short, q, says="whole blocks")
            self.refuses("quantize", "--block", preset, "--rounding", "toward_zero", x, q, says="--rounding")
            bad = self.file("n.npy", f32([1.0] * (block - 1) + [float("nan")]))
            self.refuses("quantize", "--block", preset, bad, q, says="column %d" % (block - 1))
            self.passes("quantize", "--block", preset, "--poison", bad, q)
            q.unlink()
        self.refuses("quantize", "--block", "q8_0", x, q, says="read only")
        self.passes("quantize", "--block", "q4_0", x, q)
        whole = q.read_bytes()
        q.unlink()
        for change in ((b'"q4_0"', b'"q8_0"'), (b'"3,512"', b'"4,512"'), (b'"3,512"', b'"3,511"'),
                       (b'"3,512"', b'"3,5x2"')):
            self.refuses("dequantize", self.file("w.safetensors", whole.replace(*change)), self.folder / "y.npy",
                         says="w.safetensors")
        self.refuses("dequantize", self.file("w.safetensors", whole), "--list", says="checkpoints")


if __name__ == "__main__":
    unittest.main()
