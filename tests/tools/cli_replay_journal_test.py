# SPDX-License-Identifier: Apache-2.0
"""assay replay --predict, --measure, --both with a journal: killed, resumed, damaged, refused; side by side and one by one."""
import json
import re
import shutil
import signal
import subprocess
import time
import unittest

from cli_fixture import ASSAY, SOURCE, CliTest

SMALL = SOURCE / "simulator" / "recordings" / "moe-softmax-100"
TIMES = re.compile(rb'"(?:\w*seconds|at_once)": [^,\n]*')
SPOKEN = re.compile(rb"[0-9.]+ s\b")


def replay(*arguments):
    return subprocess.run([ASSAY, "replay", *map(str, arguments)], capture_output=True, timeout=300)


class Journal(CliTest):
    RECIPES = (SMALL, "--recipe", "nvfp4-w4a4", "--recipe", "article")
    BOTH = (*RECIPES, "--both", "--samples", "1")
    MEASURE = (*RECIPES, "--measure")
    PREDICT = (SMALL, "--recipe", "bf16", "--predict", "--samples", "1")

    def report(self, *arguments):
        """JSON, page and text."""
        out, page = self.folder / "report.json", self.folder / "report.html"
        r = replay(*arguments, "--json", out, "--html", page)
        self.assertEqual(r.returncode, 0, r.stderr)
        return out.read_bytes(), page.read_bytes(), r.stdout

    def assertSameFigures(self, a, b):
        self.assertEqual(TIMES.sub(b"", a[0]), TIMES.sub(b"", b[0]))
        self.assertEqual(a[1], b[1])
        self.assertEqual(SPOKEN.sub(b"", a[2]), SPOKEN.sub(b"", b[2]))

    def lines(self, journal):
        return [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]

    def kill_at(self, lines, journal, *arguments):
        """True where the run was not over."""
        process = subprocess.Popen([ASSAY, "replay", *map(str, arguments), "--journal", journal, "--resume"],
                                   stdout=subprocess.DEVNULL)
        begin = time.monotonic()
        while process.poll() is None and time.monotonic() - begin < 120:
            if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.001)
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        return alive

    def test_killed_in_every_part_and_resumed_is_the_same_report(self):
        want = self.report(*self.BOTH)
        journal = self.folder / "journal"
        kept = self.folder / "journal.responses"
        # The run's name, the shared pass, two predictions, two measurements.
        for lines in (1, 2, 3, 4, 5):
            self.assertTrue(self.kill_at(lines, journal, *self.BOTH), f"over before line {lines}")
            found = len(self.lines(journal))
            self.assertGreaterEqual(found, lines)
            if 2 <= found < 4:
                self.assertTrue(kept.exists())
        parts = self.lines(journal)[1:]
        self.assertEqual(sum("responses" in part for part in parts), 1, "the shared pass was made again")
        got = self.report(*self.BOTH, "--journal", journal, "--resume")
        self.assertSameFigures(got, want)
        self.assertFalse(kept.exists(), "needed no more")
        # Seconds are those of the run that did it.
        network = json.loads(got[0])["network"]
        self.assertEqual(network["response_seconds"], parts[0]["responses"]["seconds"])
        for line in self.lines(journal)[2:]:
            for kind in ("predicted", "measured"):
                if kind in line["forecast"]:
                    self.assertEqual(line["forecast"][kind], network["forecasts"][line["recipe"]][kind])
        self.assertEqual(self.report(*self.BOTH, "--journal", journal, "--resume"), got)  # all of it known: the same bytes

    def test_torn_lines(self):
        journal = self.folder / "journal"
        want = self.report(*self.MEASURE, "--journal", journal)
        whole = journal.read_bytes()
        lines = whole.split(b"\n")
        middle = len(lines[0]) + 1000  # of the first measurement
        for cut in (0, len(lines[0]), middle, len(whole) - 1):
            torn = self.file(f"torn-{cut}", whole[:cut])
            self.assertSameFigures(self.report(*self.MEASURE, "--journal", torn, "--resume"), want)
            self.assertEqual(len(self.lines(torn)), 3)

    def test_one_that_is_left_is_measured_alone(self):
        journal = self.folder / "journal"
        whole = self.report(*self.MEASURE, "--journal", journal, "--jobs", 2)
        self.file("journal", b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
        self.assertSameFigures(self.report(*self.MEASURE, "--journal", journal, "--resume", "--jobs", 2), whole)
        self.assertEqual([line["forecast"]["measured"]["at_once"] for line in self.lines(journal)[1:]], [2, 1])

    def test_in_the_folder_of_the_recording(self):
        copy = self.folder / "recording"
        shutil.copytree(SMALL, copy)
        for kind in ("--measure", "--operands"):
            arguments = (copy, "--recipe", "nvfp4", kind, "--journal", copy / f"journal{kind}")
            self.assertEqual(replay(*arguments).returncode, 0)
            before = (copy / f"journal{kind}").read_bytes()
            r = replay(*arguments, "--resume")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual((copy / f"journal{kind}").read_bytes(), before)
            (copy / f"journal{kind}").unlink()

    def test_what_is_no_journal_stays_as_it_is(self):
        measured = (SMALL, "--recipe", "bf16", "--measure")
        for content in (b"notes without an end of line", b"notes\n", b'{"assay_network_journal":1,"run":"of another'):
            notes = self.file("notes", content)
            self.refused("no journal of assay replay --predict", *measured, "--journal", notes, "--resume")
            self.assertEqual(notes.read_bytes(), content)
        self.refused("no journal of assay replay --predict", *measured, "--journal", self.folder, "--resume")

    def test_a_damaged_pass_is_made_again(self):
        journal = self.folder / "journal"
        kept = self.folder / "journal.responses"
        self.assertTrue(self.kill_at(2, journal, *self.PREDICT))
        good = kept.read_bytes()
        started = b"\n".join(journal.read_bytes().split(b"\n")[:2]) + b"\n"
        half = len(good) // 2
        want = None
        for name, bad in (("whole", good), ("cut", good[:-1]), ("a bit", good[:half] + bytes([good[half] ^ 1]) + good[half + 1:]),
                          ("another run", re.sub(rb"^(assay responses 1 )\w{8}", rb"\g<1>00000000", good))):
            kept.write_bytes(bad)
            journal.write_bytes(started)
            got = self.report(*self.PREDICT, "--journal", journal, "--resume")
            self.assertEqual(sum("responses" in line for line in self.lines(journal)), 1 if name == "whole" else 2, name)
            want = want or got
            self.assertSameFigures(got, want)

    def refused(self, says, *arguments):
        r = replay(*arguments)
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertIn(says, r.stderr.decode())
        self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)

    def test_journals_of_other_runs(self):
        journal = self.folder / "journal"
        measured = (SMALL, "--recipe", "bf16", "--measure")
        self.assertEqual(replay(*measured, "--journal", journal).returncode, 0)
        self.refused("exists already", *measured, "--journal", journal)
        for other in (("--seed", 2), ("--step", 3), ("--recipe", "bf16"), ("--arithmetic", "recipe"), ("--learning-rate", 1), ("--predict",), ("--samples", 5)):
            self.refused("of another run", *measured, *other, "--journal", journal, "--resume")
        copy = self.folder / "recording"
        shutil.copytree(SMALL, copy)
        self.refused("of another run", copy, *measured[1:], "--journal", journal, "--resume")
        self.assertEqual(replay(*measured, "--jobs", "1", "--journal", journal, "--resume").returncode, 0)
        lines = journal.read_bytes().split(b"\n")
        damaged = self.file("damaged", b"\n".join([lines[0], b"{}", b""]))
        self.refused("is damaged", *measured, "--journal", damaged, "--resume")
        beyond = self.file("beyond", journal.read_bytes().replace(b'"recipe":0', b'"recipe":7', 1))
        self.refused("is damaged", *measured, "--journal", beyond, "--resume")
        operands = self.folder / "operands"
        self.assertEqual(replay(SMALL, "--recipe", "nvfp4", "--operands", "--journal", operands).returncode, 0)
        self.refused("no journal of assay replay --predict", *measured, "--journal", operands, "--resume")
        self.refused("no journal of assay replay --operands", SMALL, "--recipe", "nvfp4", "--operands", "--journal", journal, "--resume")
        self.refused("needs the --journal", *measured, "--resume")
        self.refused("go with --operands, --predict", SMALL, "--recipe", "bf16", "--journal", journal)

    def test_figures_do_not_depend_on_how_many_are_measured_at_once(self):
        one, four = self.report(*self.MEASURE, "--jobs", "1"), self.report(*self.MEASURE, "--jobs", "4")
        self.assertSameFigures(one, four)
        for report, at_once in ((one, 1), (four, 2)):
            for f in json.loads(report[0])["network"]["forecasts"]:
                self.assertEqual(f["measured"]["at_once"], at_once)
                self.assertGreater(f["measured"]["all_seconds"], f["measured"]["seconds"])

    def test_a_recipe_that_fails_beside_others_is_one_sentence(self):
        recipe = json.loads((SOURCE / "simulator" / "recipes" / "fp8-deepseek-v3.json").read_text())
        for treatment in recipe["classes"]:
            treatment["accumulator"] = {"kind": "hopper.wgmma.bf16.f32"}
        path = self.file("recipe.json", json.dumps(recipe).encode())
        self.refused("not e4m3 by e4m3", SMALL, "--recipe", "bf16", "--recipe", path, "--recipe", "nvfp4", "--measure",
                     "--arithmetic", "recipe", "--jobs", "3")


if __name__ == "__main__":
    unittest.main()
