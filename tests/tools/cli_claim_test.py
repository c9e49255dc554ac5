# SPDX-License-Identifier: Apache-2.0
"""assay claim infer: kernels whose accumulators are known get the claim that describes them."""
import json
import unittest

from cli_fixture import CliTest

ENTRY = "gemm.nvfp4.nvfp4.fp32"


class Claim(CliTest):
    def infer(self, device):
        report = json.loads(self.passes("claim", "infer", device, "--json", "-").stdout)
        return {entry["entry"]: entry for entry in report["entries"]}

    def test_a_right_kernel_is_fp32(self):
        entries = self.infer("cpu")
        self.assertIn(ENTRY, entries)
        self.assertNotIn("truncating", entries[ENTRY]["claim"])
        answers = {a["question"]: a["answer"] for a in entries[ENTRY]["answers"]}
        self.assertIn("to nearest", answers["rounding of the accumulator"])

    def test_thirteen_bits_are_found(self):
        claim = self.infer("mutants.truncating_13_bits")[ENTRY]["claim"]
        self.assertIn("accumulator=truncating", claim)
        self.assertIn("fraction_bits=13", claim)

    def test_a_truncated_output_is_found(self):
        rounding = {a["question"]: a["answer"]
                    for entry in self.infer("mutants.output_truncated").values()
                    for a in entry["answers"] if a["question"] == "rounding of the output"}
        self.assertEqual(rounding, {"rounding of the output": "toward zero"})

    def test_wrong_words(self):
        self.refuses("claim", "infr", "cpu", says="did you mean 'infer'")
        self.refuses("claim", "infer", "cpu", "--entry", "gemm", says="no entry 'gemm'")


if __name__ == "__main__":
    unittest.main()
