# SPDX-License-Identifier: Apache-2.0
"""Cases by file: `assay vectors`, a simulator that is another process, `assay judge`."""
import pathlib
import subprocess
import sys
import unittest

from cli_fixture import ASSAY, CliTest

SIMULATOR = pathlib.Path(__file__).with_name("simulator.py")
CLAIM = "quantize a=mxfp4-floor"


class Vectors(CliTest):
    def setUp(self):
        super().setUp()
        self.cases, self.answers = self.folder / "cases.txt", self.folder / "answers.txt"
        self.passes("vectors", "quantize.mxfp4-floor", "--claim", CLAIM, "--cases", "20", "--out",
                    str(self.cases))

    def simulate(self, *arguments):
        text = subprocess.run([sys.executable, SIMULATOR, *arguments], capture_output=True, text=True,
                              check=True, input=self.cases.read_text()).stdout
        self.answers.write_text(text)
        return text

    def judge(self):
        return self.run_assay("judge", self.cases, self.answers)

    def rejects_answers(self, text, *parts):
        self.answers.write_text(text)
        sentence = self.refuses("judge", self.cases, self.answers)
        for part in parts:
            self.assertIn(part, sentence)

    def test_right_answers_pass(self):
        self.simulate()
        run = self.judge()
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_answers_by_pipe(self):
        run = subprocess.run([ASSAY, "judge", self.cases, "-"], capture_output=True, text=True,
                             input=self.simulate())
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_cases_hold_operands_only(self):
        lines = self.cases.read_text().splitlines()
        for line, after in zip(lines, lines[1:]):
            if line.startswith("out "):
                self.assertRegex(after, r"^(out|case|end) ")

    def test_wrong_answers_fail(self):
        self.simulate("ties_away")
        run = self.judge()
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("quantize.mxfp4-floor.ties_to_even", run.stdout)

    def test_declined_is_not_a_pass(self):
        text = ["assay-answers 1"]
        for line in self.cases.read_text().splitlines():
            if line.startswith(("case ", "end ")):
                text += [line] + ["declined"] * line.startswith("case ")
        self.answers.write_text("\n".join(text) + "\n")
        self.assertEqual(self.judge().returncode, 5)

    def test_truncated_answers(self):
        text = self.simulate()
        for cut in (len(text) // 2, len(text) - 8, 40, 0):
            with self.subTest(cut=cut):
                self.rejects_answers(text[:cut], "answers.txt")

    def test_an_answer_too_few_or_too_many(self):
        text = self.simulate()
        head, last = text.rsplit("case ", 1)
        self.rejects_answers(head + "end %d\n" % int(last.split()[0]), "answers", "cases")
        one_short = text.replace("\nq scales\n", "\nq scales\n", 1).split("\n")
        del one_short[one_short.index("q scales") + 1]
        self.rejects_answers("\n".join(one_short), "answers.txt", "e8m0")

    def test_corrupted_answers(self):
        text = self.simulate()
        self.rejects_answers(text.replace("q values", "q valves", 1), "valves", "line 3")
        self.rejects_answers(text.replace("q values\n", "q values\nzz ", 1), "'zz'", "e2m1")
        self.rejects_answers(text.replace("q values\n", "q values\n1f ", 1), "'1f'", "4 bits")
        self.rejects_answers(text.replace("case 3\n", "case 4\n", 1), "case 3")

    def test_changed_cases_are_noticed(self):
        self.simulate()
        text = self.cases.read_text()
        at = text.index("\n", text.index("in x values")) + 1
        other = "1" if text[at + 7] != "1" else "2"
        self.cases.write_text(text[:at + 7] + other + text[at + 8:])
        self.refuses("judge", self.cases, self.answers, says="write it anew")

    def test_a_claim_that_is_none(self):
        for claim, part in (("quantise a=nvfp4", "quantise"), ("quantize a=nvfp5", "nvfp5"),
                            ("quantize a=nvfp4 colour=red", "colour"), ("quantize", "block format"),
                            ("gemm a=nvfp4 b=nvfp4", "is about the claim")):
            self.refuses("vectors", "quantize.nvfp4", "--claim", claim, "--out",
                         self.folder / "none.txt", says=part)


if __name__ == "__main__":
    unittest.main()
