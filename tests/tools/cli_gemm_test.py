# SPDX-License-Identifier: Apache-2.0
"""assay gemm: plans, operands, and what wrong ones are answered with."""
import json
import struct
import unittest

from cli_fixture import SOURCE, CliTest, npy, read_npy

ONE = 0x38  # E4M3
PLAN = {"schema": "assay-gemm-plan-1", "name": "p", "model": "hopper.wgmma.e4m3.f32", "tile_k": 64,
        "output": {"format": "fp32"}}


class Gemm(CliTest):
    def setUp(self):
        super().setUp()
        self.a = self.file("a.npy", npy("|u1", (2, 256), bytes([ONE] * 256 + [ONE, 0] * 128)))
        self.b = self.file("b.npy", npy("|u1", (3, 256), bytes([ONE] * 768)))

    def plan(self, **members):
        return self.file("plan.json", json.dumps({**PLAN, **members}).encode())

    def gemm(self, plan, *more):
        self.passes("gemm", "--plan", plan, "--a", self.a, "--b", self.b, *more, self.folder / "d.npy")
        return read_npy(self.folder / "d.npy")

    def test_sums(self):
        descr, shape, data = self.gemm(self.plan())
        self.assertEqual((descr, shape), ("<u4", (2, 3)))
        self.assertEqual(struct.unpack("<6f", data), (256.0,) * 3 + (128.0,) * 3)

    def test_epilogue_and_output(self):
        c = self.file("c.npy", npy("<u2", (2, 3), struct.pack("<6H", *[0x3F80] * 6)))  # 1 in BF16
        bias = self.file("bias.npy", npy("<u4", (3,), struct.pack("<3f", 0, 1, 2)))
        plan = self.plan(c="bf16", output={"format": "bf16"}, split_k={"count": 2}, promote_every=64, epilogue=[
            {"op": "multiply", "by": ["scale_a", "scale_b"]},
            {"op": "multiply_add", "by": ["alpha"], "term": "c"}, {"op": "add", "term": "bias"}])
        descr, _, data = self.gemm(plan, "--c", c, "--bias", bias, "--alpha", 0.5, "--beta", 2,
                                   "--tensor-scale-a", 0.25, "--tensor-scale-b", 2)
        self.assertEqual(descr, "<u2")
        values = struct.unpack("<6f", b"".join(b"\0\0" + data[i:i + 2] for i in range(0, 12, 2)))
        self.assertEqual(values, (66.0, 67.0, 68.0, 34.0, 35.0, 36.0))

    def test_the_example_runs_and_says_its_plan(self):
        example = SOURCE / "simulator" / "plans" / "hopper-fp8-promoted.json"
        self.gemm(example, "--threads", 2, "--json", self.folder / "done.json")
        done = json.loads((self.folder / "done.json").read_text())
        self.assertEqual(done["plan"]["promote_every"], 128)
        self.assertEqual((done["m"], done["n"], done["k"]), (2, 3, 256))
        self.assertEqual(done["evidence"], "verified")

    def test_the_page_shows_the_example(self):
        page = (SOURCE / "docs" / "gemm-plans.md").read_text()
        example = (SOURCE / "simulator" / "plans" / "hopper-fp8-promoted.json").read_text()
        self.assertIn("```json\n" + example + "```\n", page)

    def test_wrong_input(self):
        plan, d = self.plan(), self.folder / "d.npy"
        short = self.file("short.npy", npy("|u1", (3, 128), bytes(384)))
        words = self.file("words.npy", npy("<u2", (3, 256), bytes(1536)))
        run = ("gemm", "--plan", plan, "--a", self.a)
        self.refuses(*run, d, says="gemm needs --b")
        self.refuses(*run, "--b", short, d, says="3 x 128, where 3 x 256 belongs")
        self.refuses(*run, "--b", words, d, says="codes of e4m3 come as U8")
        self.refuses(*run, "--b", self.b, "--scale-a", self.a, d, says="no block scales")
        self.refuses(*run, "--b", self.b, "--threads", 0, d, says="threads must be at least 1")
        self.refuses("gemm", "--plan", self.folder / "none.json", "--a", self.a, "--b", self.b, d,
                     says="cannot be read")
        plan = self.plan(model="hopper.wgmma.e4m3.f64")
        self.refuses("gemm", "--plan", plan, "--a", self.a, "--b", self.b, d,
                     says="did you mean 'hopper.wgmma.e4m3.f32'")


if __name__ == "__main__":
    unittest.main()
