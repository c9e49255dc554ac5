# SPDX-License-Identifier: Apache-2.0
"""One mutant at a time in a scratch copy of the tree: build, run the tests, restore."""
import math
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

from mutation import rooms

# -O1: the exact arithmetic of golden is too slow without optimisation, and -O2 compiles longer.
CONFIGURE = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG"]
ALWAYS = ["-DASSAY_TESTS=ON", "-DASSAY_CUDA=OFF"]
# A test may use 10 times the processor time that it needs unmutated, and 20 s anyway. The clock on the
# wall, which other work on the machine moves, only ends what waits for ever.
CPU_FACTOR, CPU_FLOOR, WALL_FACTOR = 10, 20, 20
MEMORY, FILE_SIZE = 6 << 30, 1 << 30  # bytes: a mutant that fills memory or disk is stopped
MAPS_FAR_ROWS = ("proptests_mutation_test",)  # 16 GB of addresses between rows, hardly any of them filled
BUILD_LIMIT, TEST_LIMIT = 900, 3600  # seconds on the wall clock, of unmutated sources


class SetupError(Exception):
    """The unmutated tree does not build or fails its tests: no score can be had."""


def _limited(memory, cpu):
    def prepare():
        os.nice(10)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if cpu:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    return prepare


def _cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command, limit, cwd, memory=True, cpu=None, **settings):
    """(exit status or None after a time limit, output)."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, env={**os.environ, **settings}, text=True,
                               errors="replace", start_new_session=True, preexec_fn=_limited(memory, cpu))
    try:
        output, _ = process.communicate(timeout=limit)
        return (None if process.returncode == -signal.SIGXCPU else process.returncode), output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that this call started
        output, _ = process.communicate()
        return None, output


class Workshop:
    """The scratch copy of the tree at root, with its own build folder. With a preset of CMakePresets.json the
    compiler's cache knows the unmutated objects of another build of that preset."""

    def __init__(self, root, scratch, jobs, preset=None):
        self.root, self.scratch, self.jobs = pathlib.Path(root), pathlib.Path(scratch), jobs
        self.tree = self.scratch / "tree"
        self.build = self.tree / f"build-{preset or 'mutants'}"
        self.limits = {}
        self._copy()
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        how = ["--preset", preset] if preset else ["-B", self.build, *CONFIGURE]
        status, output = _run(["cmake", "-S", self.tree, *how, *ALWAYS, *launcher], BUILD_LIMIT, self.tree,
                              memory=False)
        if status != 0:
            raise SetupError("cmake failed:\n" + output[-2000:])

    def _copy(self):
        """Tracked and new files; what did not change keeps its time, so that it is not rebuilt."""
        listed = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"],
                                check=True, capture_output=True, text=True).stdout
        wanted = {p for p in listed.split("\0") if p and (self.root / p).is_file()}
        for old in [p for p in self.tree.rglob("*") if p.is_file() and self.build not in p.parents]:
            if str(old.relative_to(self.tree)) not in wanted:
                old.unlink()
        for path in wanted:
            source, copy = self.root / path, self.tree / path
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)

    def sources(self):
        """{path: text} of every C++ source of the copy."""
        return {str(p.relative_to(self.tree)): p.read_text() for p in self.tree.rglob("*")
                if p.suffix in (".cpp", ".h") and self.build not in p.parents}

    def _build(self, targets):
        return _run(["ninja", "-C", self.build, "-j", str(self.jobs), *targets], BUILD_LIMIT, self.scratch,
                    memory=False)

    def _test(self, test):
        """(exit status or None, output, seconds of processor time)"""
        target, arguments = rooms.COMMANDS.get(test, (test, []))
        binary = next(p for p in (self.build / "tests").rglob(target) if p.is_file())
        scratch = self.scratch / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        start, cpu = _cpu_seconds(), self.limits.get(test)
        status, output = _run([binary, *(a.format(source=self.tree) for a in arguments)],
                              cpu * WALL_FACTOR if cpu else TEST_LIMIT, scratch, cpu=cpu,
                              memory=test not in MAPS_FAR_ROWS,
                              TMPDIR=str(scratch), GTEST_FAIL_FAST="1", GTEST_BRIEF="1",
                              OMP_WAIT_POLICY="passive")
        return status, output, _cpu_seconds() - start

    def baseline(self, tests):
        """Builds the unmutated tree and times its tests. {test: seconds}"""
        status, output = self._build(sorted({rooms.target_of(t) for t in tests}))
        if status != 0:
            raise SetupError("the unmutated tree does not build:\n" + output[-4000:])
        seconds = {}
        for test in tests:
            status, output, seconds[test] = self._test(test)
            if status != 0:
                raise SetupError(f"{test} fails on the unmutated tree:\n" + output[-4000:])
            self.limits[test] = math.ceil(max(CPU_FLOOR, CPU_FACTOR * seconds[test]))
        return seconds

    def judge(self, mutant):
        """{status: killed, timeout, survived or invalid; by: the test, or the compiler's first error}"""
        path = self.tree / mutant.file
        original = path.read_text()
        path.write_text(mutant.site.apply(original))
        try:
            for test in rooms.tests_of(rooms.ROOMS[mutant.room], mutant.file, self.tree):
                status, output = self._build([rooms.target_of(test)])
                if status != 0:
                    errors = re.findall(r"error: .*", output)
                    return {"status": "invalid", "by": errors[0][:200] if errors else "the build"}
                status, output, _ = self._test(test)
                if status is None:
                    return {"status": "timeout", "by": test}
                if status != 0:
                    failed = re.search(r"\[  FAILED  \] ([\w/.]+)", output)
                    how = failed.group(1) if failed else (
                        f"signal {-status}" if status < 0 else f"exit status {status}")
                    return {"status": "killed", "by": f"{test}: {how}"}
            return {"status": "survived", "by": ""}
        finally:
            path.write_text(original)
