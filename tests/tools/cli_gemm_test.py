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

    def test_a_plan_is_inferred_from_files(self):
        folder = self.folder / "questions"
        ask = ("gemm", "--infer", folder, "--a-format", "e4m3", "--k", 256)
        self.passes(*ask)
        operands = ("--a", folder / "a.npy", "--b", folder / "b.npy")
        truth = self.plan(promote_every=64, split_k={"count": 2, "tiles": "interleaved"})
        self.passes("gemm", "--plan", truth, *operands, folder / "d.npy")
        answer = (*ask, "--outputs", folder / "d.npy")
        report = json.loads(self.passes(*answer, "--json", "-").stdout)
        self.assertTrue(report["decided"], report["verdict"])
        self.assertEqual(report["candidates"][0]["models"], ["hopper.wgmma.e4m3.f32"])
        # The same bits on other operands.
        self.gemm(truth)
        expected = (self.folder / "d.npy").read_bytes()
        self.gemm(folder / "plan.json")
        self.assertEqual((self.folder / "d.npy").read_bytes(), expected)
        # Two rows of the table that these inputs do not tell apart.
        self.passes("gemm", "--plan", self.plan(model="hopper.mma.e4m3.f32"), *operands, folder / "d.npy")
        report = json.loads(self.passes(*answer, "--json", "-").stdout)
        self.assertFalse(report["decided"])
        self.assertEqual([c["models"] for c in report["candidates"]],
                         [["hopper.mma.e4m3.f32"], ["blackwell.mma.e4m3.f32"]])
        # No unit does this: each output one unit in the last place too large.
        descr, shape, data = read_npy(folder / "d.npy")
        wrong = bytes((byte ^ 1) if i % 4 == 0 else byte for i, byte in enumerate(data))
        (folder / "d.npy").write_bytes(npy(descr, shape, wrong))
        result = self.run_assay(*answer)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("no plan of the grid", result.stdout)

    def test_a_device_without_a_plan(self):
        result = self.run_assay("gemm", "--infer", self.folder / "cpu", "--device", "cpu", "--k", 128, "--timeout",
                                60, "--entry", "gemm.nvfp4.nvfp4.fp32")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("no plan of the grid", result.stdout)

    def test_wrong_questions(self):
        self.refuses("gemm", "--infer", self.folder / "q", says="needs --a-format")
        self.refuses("gemm", "--infer", self.folder / "q", "--a-format", "e4m3", "--k", 100, says="multiple of 64")
        self.refuses("gemm", "--infer", self.folder / "q", "--a-format", "int4", says="no model multiplies int4")
        self.refuses("gemm", "--infer", self.folder / "q", "--a-format", "e2m1", "--block-scale", "ue4m3",
                     says="FORMAT/BLOCK")
        self.refuses("gemm", "--infer", self.folder / "q", "--device", "cpu", "--entry", "gemm", says="no entry")

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
