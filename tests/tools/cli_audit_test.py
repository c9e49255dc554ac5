# SPDX-License-Identifier: Apache-2.0
"""assay audit-peers: the libraries that ASSAY_PYTHON has, one that is wrong, and bad inputs."""
import json
import os
import subprocess
import sys
import textwrap
import unittest

from cli_fixture import CliTest

PYTHON = os.environ["ASSAY_PYTHON"]

# A library that answers by `answer` where ml_dtypes would; only what the protocol asks for.
IMPOSTOR = """#!%s
import json, sys
inputs, outputs = sys.stdin.buffer, sys.stdout.buffer
outputs.write((json.dumps({"python": "3", "peers": [{"name": "ml_dtypes", "version": "impostor",
    "casts": [["type", "bf16", "e8m0", "nearest_even", False]]}]}) + "\\n").encode())
outputs.flush()
while words := inputs.readline().split():
    data = inputs.read(4 * int(words[2]))
    codes = [int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data), 4)]
%s
    outputs.write(b"codes\\n" + b"".join(answer(c).to_bytes(4, "little") for c in codes))
    outputs.flush()
"""


def has(module):
    return subprocess.run([PYTHON, "-c", "import numpy, " + module], capture_output=True).returncode == 0


class Audit(CliTest):
    def audit(self, *arguments, code=0):
        run = self.run_assay("audit-peers", *arguments, "--json", "-")
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return json.loads(run.stdout)

    def impostor(self, answer):
        path = self.file("impostor", (IMPOSTOR % (sys.executable, textwrap.indent(
            textwrap.dedent(answer), "    "))).encode())
        path.chmod(0o755)
        return path

    def test_ml_dtypes_is_as_predicted(self):
        if not has("ml_dtypes"):
            self.skipTest(f"{PYTHON} has no ml_dtypes; name one that has in ASSAY_PYTHON")
        rows = self.audit("--python", PYTHON, "--peer", "ml_dtypes")["conversions"]
        self.assertEqual({row["source"] for row in rows}, {"fp32", "fp16", "bf16"})
        self.assertTrue(all(row["as_predicted"] for row in rows))
        found = {(row["source"], row["destination"]): {f["id"]: f["differences"] for f in row["findings"]}
                 for row in rows if row["differences"]}
        # E8M0 alone: 128 ties (20 of FP16), and the BF16 numbers 0041..005f (E2 in peers.md).
        self.assertEqual(set(found), {("fp32", "e8m0"), ("fp16", "e8m0"), ("bf16", "e8m0")})
        self.assertEqual(found["bf16", "e8m0"], {"E1": 128, "E2": 31})
        self.assertEqual(found["fp16", "e8m0"], {"E1": 20})
        self.assertEqual(found["fp32", "e8m0"]["E1"], 128)

    def test_the_others_are_as_predicted(self):
        for module in ("torch", "gfloat"):
            with self.subTest(module):
                if not has(module):
                    self.skipTest(f"{PYTHON} has no {module}")
                rows = self.audit("--python", PYTHON, "--peer", module)["conversions"]
                self.assertTrue(rows)
                self.assertTrue(all("missing" in row or row["as_predicted"] for row in rows))

    def test_markdown_has_machine_versions_and_differences(self):
        page = self.folder / "audit.md"
        run = self.run_assay("audit-peers", "--python", PYTHON, "--markdown", page)
        self.assertIn(run.returncode, (0, 5), run.stderr)
        text = page.read_text()
        for words in ("commit", "| cuda |", "| ml_dtypes |", "| torch |", "| gfloat |", "## Conversions"):
            self.assertIn(words, text)

    def test_absent_is_said_and_never_replaced(self):
        bare = self.file("bare", b"#!/bin/sh\nexec " + sys.executable.encode() + b" -I -S \"$@\"\n")
        bare.chmod(0o755)
        document = self.audit("--python", bare, "--peer", "ml_dtypes", "--peer", "gfloat", code=5)
        self.assertEqual([row["name"] for row in document["peers"]], ["ml_dtypes", "gfloat"])
        for row in document["peers"]:
            self.assertIn("No module named", row["absent"])
        self.assertEqual(document["conversions"], [])

    def test_no_python_at_all_is_absence(self):
        environment = dict(os.environ, PATH=str(self.folder))
        run = self.run_assay("audit-peers", "--peer", "torch", "--json", "-", env=environment)
        self.assertEqual(run.returncode, 5, run.stderr)
        self.assertIn("cannot run 'python3'", json.loads(run.stdout)["peers"][0]["absent"])

    def test_news_fails(self):
        # What ml_dtypes does, but for one input: -0.
        wrong = self.impostor("""
            def answer(c):
                m = c & 0x7fff
                if m > 0x7f80 or c >= 0x8000 or m == 0: return 255 if c != 0x8000 else 1
                if m < 0x80: return 1 if m > 0x40 else 0
                return min((m + 0x40) >> 7, 255)""")
        row, = self.audit("--python", wrong, "--peer", "ml_dtypes", code=1)["conversions"]
        self.assertEqual((row["unpredicted"], row["predicted_and_absent"]), (1, 0))
        self.assertEqual(row["surprises"], [{"input": "8000", "golden": "ff", "peer": "01"}])

    def test_mended_differences_fail(self):
        mended = self.impostor("""
            def answer(c):
                m = c & 0x7fff
                if m > 0x7f80 or c >= 0x8000 or m == 0: return 255
                if m <= 0x60: return 0
                e, f = m >> 7, m & 0x7f
                return min(e + (f > 0x40 or (f == 0x40 and e % 2 == 1)), 255) if e else 1""")
        row, = self.audit("--python", mended, "--peer", "ml_dtypes", code=1)["conversions"]
        self.assertEqual((row["differences"], row["unpredicted"], row["predicted_and_absent"]), (0, 0, 159))

    def test_bad_inputs(self):
        self.refuses("audit-peers", "--peer", "mldtypes", says="did you mean 'ml_dtypes'")
        self.refuses("audit-peers", "--python", self.folder / "nowhere", says="cannot run")
        self.refuses("audit-peers", "--python", "/bin/true", says="ended before its answer")
        self.refuses("audit-peers", "--python", "/bin/echo", says="name one with --python")
        self.refuses("audit-peers", "--json", self.folder / "no" / "file.json", says="no/file.json")
        self.refuses("audit-peers", "--pear", "cuda", says="did you mean")
        dying = self.impostor("def answer(c): sys.exit('out of luck')")
        self.refuses("audit-peers", "--python", dying, "--peer", "ml_dtypes", says="out of luck",
                     leaves=())


if __name__ == "__main__":
    unittest.main()
