# SPDX-License-Identifier: Apache-2.0
"""What the program says of itself, and that the documents say the same."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import unittest

from cli_fixture import ASSAY, SOURCE, CliTest

EXIT_CODES = {0: "pass", 1: "fail", 2: "interrupted", 3: "internal error", 4: "usage or input error",
              5: "nothing ran", 6: "device under test crashed or timed out", 77: "device absent"}


def verbs():
    text = subprocess.run([ASSAY, "--help"], capture_output=True, text=True, check=True).stdout
    section = text.split("verbs")[1].split("exit codes")[0]
    return re.findall(r"^  ([\w-]+) +\S", section, re.M)


def on_terminal(columns, *arguments):
    """What the program writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    run = subprocess.Popen([ASSAY, *arguments], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert run.wait() == 0
    return text.decode()


class Help(CliTest):
    def test_no_arguments_is_help(self):
        self.assertEqual(self.passes().stdout, self.passes("--help").stdout)

    def test_exit_codes(self):
        for code, meaning in EXIT_CODES.items():
            self.assertRegex(self.passes("--help").stdout, r"(?m)^ +%d  %s$" % (code, meaning))

    def test_help_leads_with_examples_that_parse(self):
        self.assertGreaterEqual(len(verbs()), 4)
        for verb in verbs():
            text = self.passes(verb, "--help").stdout
            self.assertTrue(text.startswith("assay %s: " % verb), verb)
            self.assertLess(text.index("examples:"), text.index("Usage:"), verb)
            examples = re.findall(r"^  (assay .*)$", text.split("Usage:")[0], re.M)
            self.assertGreaterEqual(len(examples), 2, verb)
            for example in examples:
                self.assertTrue(example.startswith("assay %s" % verb), example)
                # Every option of an example is one that the verb has.
                for option in re.findall(r" (--[\w-]+)", example):
                    self.assertRegex(text.split("Usage:")[1], r"(?m)^ .*%s\b" % option, example)

    def test_options_are_laid_out_for_the_terminal(self):
        for columns in (60, 80, 200):
            for verb in verbs():
                lines = on_terminal(columns, verb, "--help").replace("\r\n", "\n").split("Usage:")[1].splitlines()
                plain = self.passes(verb, "--help").stdout.split("Usage:")[1]
                self.assertEqual(" ".join(lines).split(), plain.split(), verb)
                for line in lines[1:]:  # a word that does not fit behind its option stays whole
                    self.assertTrue(len(line) <= columns or len(line.split()) < 3, (verb, columns, line))

    def test_version(self):
        text = self.passes("--version").stdout
        self.assertRegex(text, r"^assay \d+\.\d+\.\d+\n")
        for line in ("commit: ", "compiler: ", "CUDA headers: ", "specifications:", "OCP Microscaling"):
            self.assertIn(line, text)

    def test_no_colour_and_no_progress_without_a_terminal(self):
        self.assertNotIn("\x1b", self.passes("formats").stdout + self.passes("--help").stdout)


class Certify(CliTest):
    def test_a_line_per_group_or_per_property(self):
        run = ("certify", "cpu", "--cases", "2", "--property", "quantize.nvfp4")
        short, long = self.passes(*run).stdout.splitlines(), self.passes(*run, "-v").stdout.splitlines()
        properties = len(long) - 1
        self.assertEqual(short[1].split(), ["quantize.nvfp4", str(properties), str(2 * properties),
                                            str(properties), "0", "0", "0", "0"])
        self.assertEqual((len(short), short[-1]), (3, long[-1]))
        self.assertLessEqual(max(map(len, short)), 80)


class Documents(unittest.TestCase):
    def test_cli_page_has_every_verb_and_option(self):
        page = (SOURCE / "docs" / "cli.md").read_text()
        self.assertEqual(re.findall(r"^## `assay ([\w-]+)", page, re.M), verbs())
        for verb in verbs():
            section = re.split(r"^## ", page.split("## `assay %s" % verb)[1], flags=re.M)[0]
            text = subprocess.run([ASSAY, verb, "--help"], capture_output=True, text=True).stdout
            options = set(re.findall(r"^ +(?:-\w,)?(--[\w-]+)", text, re.M)) - {"--help"}
            self.assertEqual(options, set(re.findall(r"`(--[\w-]+)", section)), verb)

    def test_exit_code_tables(self):
        for page in ("README.md", "docs/cli.md"):
            rows = re.findall(r"^\| (\d+) \| ([^|]+) \|$", (SOURCE / page).read_text(), re.M)
            self.assertEqual({int(code): meaning.strip() for code, meaning in rows}, EXIT_CODES, page)

    def test_readme(self):
        readme = (SOURCE / "README.md").read_text()
        for verb in verbs():
            self.assertIn("`assay %s" % verb, readme)
        for command in ("tools/demo", "tools/test"):
            self.assertIn(command, readme)
        code = readme.split("```cpp\n")[1].split("```")[0]
        self.assertEqual(code, (SOURCE / "tools" / "walkthrough.cpp").read_text())


if __name__ == "__main__":
    unittest.main()
