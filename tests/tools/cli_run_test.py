# SPDX-License-Identifier: Apache-2.0
"""A run of certify: killed, resumed, shared out, within a budget, with known failures. ASSAY_KILLS: how often the
resumed run is killed (5)."""
import ast
import json
import math
import os
import random
import re
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree as ElementTree

from cli_fixture import ASSAY, CliTest

KILLS = int(os.environ.get("ASSAY_KILLS", "5"))
SMALL = ("--property", "quantize.nvfp4", "--cases", "300")
TIES = ("--property", "quantize.nvfp4.ties_to_even", "--cases", "100")


def npy(path):
    """Header and data of an .npy file, version 1.0, as numpy.lib.format has it."""
    raw = path.read_bytes()
    if raw[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(path)
    end = 10 + int.from_bytes(raw[8:10], "little")
    return ast.literal_eval(raw[10:end].decode()), raw[end:]


class Fixture(CliTest):
    def certify(self, *arguments, device="cpu", code=0, **options):
        result = self.run_assay("certify", device, *arguments, **options)
        self.assertEqual(result.returncode, code, (arguments, result.stdout, result.stderr))
        return result

    def report(self, name, *arguments, **options):
        self.certify(*arguments, "--json", self.folder / name, **options)
        return (self.folder / name).read_bytes()

    def verdicts(self, name):
        return json.loads((self.folder / name).read_text())["certifications"][0]["verdicts"]


class Run(Fixture):
    def test_killed_at_any_moment_and_resumed(self):
        run = ("--property", "quantize", "--cases", "600")
        journal = self.folder / "run.jsonl"
        start = time.monotonic()
        whole = self.report("whole.json", *run, device="mutants.ties_away", code=1)
        length = time.monotonic() - start
        moment = random.Random(1)
        kills = restarts = 0
        while kills < KILLS:
            child = subprocess.Popen([ASSAY, "certify", "mutants.ties_away", *run, "--journal", journal, "--resume"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                child.wait(moment.uniform(0, length / 3))
                journal.unlink()  # it finished first: begin again
                restarts += 1
                self.assertLess(restarts, 20 + KILLS)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
                kills += 1
        resumed = self.report("resumed.json", *run, "--journal", journal, "--resume", device="mutants.ties_away",
                              code=1)
        self.assertEqual(resumed, whole)
        # Nothing is left to do, and the journal alone gives the report.
        before = journal.read_bytes()
        self.report("again.json", *run, "--journal", journal, "--resume", device="mutants.ties_away", code=1)
        self.assertEqual(journal.read_bytes(), before)
        self.run_assay("report", journal, "--json", self.folder / "from_journal.json")
        self.assertEqual((self.folder / "from_journal.json").read_bytes(), whole)

    def test_any_split_gives_the_same_report(self):
        for device, code in (("cpu", 0), ("mutants.ties_away", 1)):
            whole = self.report("whole.json", *SMALL, device=device, code=code)
            for name, more in (("jobs", ("--jobs", "2")), ("jobs3", ("--jobs", "3"))):
                self.assertEqual(self.report(name, *SMALL, *more, device=device, code=code), whole, name)
            for threads in ("1", "2"):
                environment = dict(os.environ, OMP_NUM_THREADS=threads)
                self.assertEqual(self.report("threads", *SMALL, device=device, code=code, env=environment), whole)
            for shards in (2, 5):
                journals = []
                for i in range(1, shards + 1):
                    journals.append(self.folder / ("%s-%d-%d.jsonl" % (device, i, shards)))
                    self.run_assay("certify", device, *SMALL, "--shard", "%d/%d" % (i, shards), "--journal",
                                   journals[-1])
                result = self.run_assay("report", *reversed(journals), "--json", self.folder / "merged.json")
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertEqual((self.folder / "merged.json").read_bytes(), whole, shards)

    def test_a_journal_of_another_run_is_refused(self):
        journal = self.folder / "run.jsonl"
        self.certify(*TIES, "--journal", journal)
        self.refuses("certify", "cpu", *TIES, "--journal", journal, says="--resume")
        self.refuses("certify", "cpu", *TIES, "--seed", "2", "--journal", journal, "--resume", says="another run")
        self.refuses("certify", "cpu", *TIES, "--shard", "1/2", "--journal", journal, "--resume", says="shard")
        self.refuses("certify", "cpu", *TIES, "--resume", says="--journal")
        other = self.folder / "other.jsonl"
        self.certify(*TIES, "--seed", "2", "--journal", other)
        self.refuses("report", journal, other, says="another run")
        damaged = self.file("damaged.jsonl", journal.read_bytes().replace(b'"batch"', b'"ba\xfftch', 1))
        self.refuses("report", damaged, says="damaged")
        self.refuses("report", self.file("text", b"hello\n"), says="not the first line")
        self.refuses("report", self.file("empty", b""), says="no whole line")
        self.refuses("certify", "cpu", *TIES, "--shard", "3/2", says="--shard")

    def test_what_is_unfinished_is_not_a_pass_of_the_whole(self):
        self.certify("--cases", "100000", "--property", "quantize.nvfp4", "--time-budget", "4", "--json",
                     self.folder / "r.json", "--junit", self.folder / "r.xml")
        verdicts = self.verdicts("r.json")
        for v in verdicts:
            self.assertLess(v["cases"], v["planned"])
            self.assertIn("unfinished", v["detail"])
        # Every property has run some before any has run many.
        self.assertGreater(min(v["cases"] for v in verdicts), 0)
        suite = ElementTree.parse(self.folder / "r.xml").getroot()
        self.assertEqual(int(suite.get("skipped")), len(verdicts))
        self.certify("--property", "quantize.nvfp4", "--time-budget", "1e-9", code=5)

    def test_max_failures(self):
        self.report("r.json", "--property", "quantize", "--max-failures", "2", device="mutants.ties_away", code=1)
        failed = [v for v in self.verdicts("r.json") if v["status"] == "fail"]
        self.assertEqual(len(failed), 2)


class Policy(Fixture):
    def test_baseline(self):
        known = self.file("known", b"# ties\nquantize.nvfp4.ties_to_even  # away\n")
        self.report("r.json", *TIES, "--baseline", known, device="mutants.ties_away")
        self.assertEqual(self.verdicts("r.json")[0]["status"], "expected_fail")
        self.report("r.json", *TIES, "--baseline", known, code=1)
        self.assertEqual(self.verdicts("r.json")[0]["status"], "unexpected_pass")
        self.refuses("certify", "cpu", "--baseline", self.file("typo", b"quantize.nvfp4.tise\n"), says="tise")
        self.refuses("certify", "cpu", "--baseline", self.folder / "nowhere", says="nowhere")

    def test_waivers_end(self):
        waiver = {"property": "quantize.nvfp4.ties_to_even", "reason": "known", "reference": "BUG-7",
                  "expires": "2030-02-28"}
        listed = self.file("waivers.json", json.dumps([waiver]).encode())
        run = (*TIES, "--waivers", listed, "--today")
        self.report("r.json", *run, "2030-02-28", device="mutants.ties_away")
        verdict = self.verdicts("r.json")[0]
        self.assertEqual(verdict["status"], "expected_fail")
        for text in ("BUG-7", "known", "2030-02-28"):
            self.assertIn(text, verdict["detail"])
        self.report("r.json", *run, "2030-03-01", device="mutants.ties_away", code=1)
        self.assertEqual(self.verdicts("r.json")[0]["status"], "fail")
        self.assertIn("expired", self.verdicts("r.json")[0]["detail"])
        self.assertEqual(json.loads((self.folder / "r.json").read_text())["certifications"][0]["waivers_judged_on"],
                         "2030-03-01")
        self.refuses("certify", "cpu", *run, "2030-02-30", says="YYYY-MM-DD")
        for change in ({"expires": "soon"}, {"reason": ""}, {"property": "x"}, {"extra": "1"}, {"reference": 3}):
            self.refuses("certify", "cpu", "--waivers", self.file("w", json.dumps([{**waiver, **change}]).encode()))
        self.refuses("certify", "cpu", "--waivers", self.file("w", b"{}"), says="array")

    def test_skips_are_listed(self):
        skips = self.file("skips", b"quantize\\.nvfp4\\.t.*\n")
        self.report("r.json", *SMALL, "--skips", skips)
        for v in self.verdicts("r.json"):
            expected = "skipped" if v["property"].startswith("quantize.nvfp4.t") else "pass"
            self.assertEqual(v["status"], expected, v["property"])
        self.certify(*TIES, "--skips", self.file("all", b".*\n"), code=5)
        self.refuses("certify", "cpu", "--skips", self.file("bad", b"(\n"), says="regular expression")

    def test_a_failure_that_repeats_is_no_flake(self):
        flakes = self.file("flakes", b".*\n")
        self.report("r.json", *TIES, "--flakes", flakes, device="mutants.ties_away", code=1)
        self.assertEqual((self.verdicts("r.json")[0]["status"], self.verdicts("r.json")[0]["flakes"]), ("fail", 0))


class Junit(Fixture):
    def test_body_has_the_whole_failure(self):
        self.certify(*SMALL, "--junit", self.folder / "r.xml", device="mutants.ties_away", code=1)
        root = ElementTree.parse(self.folder / "r.xml").getroot()
        cases = root.findall("testsuite/testcase")
        self.assertEqual(len(cases), int(root.get("tests")))
        failed = [c for c in cases if c.find("failure") is not None]
        self.assertEqual(len(failed), int(root.get("failures")))
        self.assertGreater(len(failed), 0)
        for case in failed:
            self.assertEqual(case.get("classname"), "mutants.ties_away")
            for text in (case.get("name"), "must hold:", "follows from:", "expected", "observed",
                         "assay reproduce assay1:"):
                self.assertIn(text, case.find("failure").text)

    def test_terminal_shows_each_likely_bug_once(self):
        short = self.certify(*SMALL, device="mutants.ties_away", code=1).stdout
        whole = self.certify(*SMALL, "-v", device="mutants.ties_away", code=1).stdout
        failed = re.findall(r"^fail  (\S+)$", whole, re.MULTILINE)
        self.assertGreater(len(failed), 2)
        self.assertEqual(len(re.findall(r"^fail  ", short, re.MULTILINE)), 1)
        for name in failed:  # none is lost
            self.assertIn(name, short)
        self.assertIn("(ties_away)", short)
        self.assertRegex(short.splitlines()[-1], r"^mutants.ties_away: .* %d fail" % len(failed))

    def test_the_token_of_a_failure_is_enough(self):
        self.certify(*TIES, "--json", self.folder / "r.json", device="mutants.ties_away", code=1)
        found = self.verdicts("r.json")[0]["counterexample"]
        token = found["replay"].split()[-1]
        result = self.run_assay("reproduce", token, "--json", self.folder / "again.json")
        self.assertEqual(result.returncode, 1, result.stderr)
        again = self.verdicts("again.json")[0]["counterexample"]
        for part in ("where", "expected", "observed", "operands", "replay"):
            self.assertEqual(again[part], found[part], part)
        self.passes("reproduce", token, "--device", "mutants.none")
        for damaged in (token[:-1], token[:-2] + "AA", token[:20] + "x" + token[21:], "assay1:", "hello", token + "!"):
            self.refuses("reproduce", damaged, says="token")

    def test_operands_are_saved(self):
        saved = self.folder / "saved"
        self.run_assay("certify", "mutants.ties_away", *SMALL, "--save", saved, "--json", self.folder / "s.json")
        failed = [v for v in json.loads((self.folder / "s.json").read_text())["certifications"][0]["verdicts"]
                  if v["counterexample"]]
        self.assertTrue(failed)
        self.assertEqual(sorted(p.name for p in saved.iterdir()), sorted(v["property"] for v in failed))
        for verdict in failed:
            case = json.loads((saved / verdict["property"] / "case.json").read_text())
            self.assertEqual(case["counterexample"], verdict["counterexample"])
            for tensor in case["call"]["in"]:
                header, data = npy(saved / verdict["property"] / tensor["file"])
                self.assertEqual(header["shape"], tuple(tensor["shape"]))
                self.assertFalse(header["fortran_order"])
                count = math.prod(header["shape"])
                self.assertEqual(len(data), count * int(header["descr"][-1]))
            again = self.folder / "again" / verdict["property"]
            self.run_assay("reproduce", verdict["counterexample"]["replay"].split()[-1], "--save", again.parent)
            for path in sorted((saved / verdict["property"]).iterdir()):
                self.assertEqual((again / path.name).read_bytes(), path.read_bytes(), path)

    def test_package_without_a_journal_of_its_own(self):
        package = self.folder / "alone"
        self.passes("certify", "cpu", "--property", "layout.nvfp4", "--cases", "8", "--package", package)
        self.assertTrue((package / "journal.jsonl").is_file())
        self.assertFalse((self.folder / "alone.journal").exists())

    def test_package(self):
        package = self.folder / "evidence"
        run = ("--profile", "quantize-1.0", "--cases", "8", "--journal", self.folder / "p.jsonl", "--package", package)
        self.certify(*run)
        self.passes("verify-package", package)
        self.passes("verify-package", package, "--rerun", "cpu")
        self.passes("verify-package", package, "--rerun", "cpu", "--all")
        self.refuses("verify-package", package, "--all", says="--rerun")
        self.assertEqual(self.run_assay("verify-package", package, "--rerun", "mutants.ties_away").returncode, 1)
        for path in sorted(package.iterdir()):
            kept = path.read_bytes()
            path.write_bytes(kept[:-2] + b" \n")
            self.assertEqual(self.run_assay("verify-package", package).returncode, 1, path.name)
            path.unlink()
            self.assertEqual(self.run_assay("verify-package", package).returncode, 1, path.name)
            path.write_bytes(kept)
        (package / "more").write_bytes(b"")
        self.assertIn("more", self.run_assay("verify-package", package).stdout)
        self.refuses("verify-package", self.folder / "nowhere", says="nowhere")
        self.refuses("certify", "cpu", *run, says="exists")

    def test_diff(self):
        self.certify(*SMALL, "--json", self.folder / "a.json", "--journal", self.folder / "a.jsonl")
        self.certify(*TIES, "--json", self.folder / "b.json", device="cpu")
        self.passes("diff", self.folder / "a.json", self.folder / "a.jsonl")
        result = self.run_assay("diff", self.folder / "a.json", self.folder / "b.json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("absent", result.stdout)
        self.refuses("diff", self.folder / "a.json", self.file("c.json", b"{}"), says="neither")

    def test_markdown(self):
        text = self.certify(*SMALL, "--markdown", "-", device="mutants.ties_away", code=1).stdout
        self.assertIn("| quantize.nvfp4 |", text)
        self.assertIn("assay reproduce assay1:", text)


if __name__ == "__main__":
    unittest.main()
