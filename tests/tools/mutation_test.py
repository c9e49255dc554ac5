# SPDX-License-Identifier: Apache-2.0
"""tools/mutation plants the faults it says, in code only, in a reproducible order, and counts right."""
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["ASSAY_SOURCE"]) / "tools"))
from mutation import operators, report, rooms, sample  # noqa: E402


def planted(source):
    """{(operator, mutated source)}"""
    return {(s.operator, s.apply(source)) for s in operators.sites(source)}


class Operators(unittest.TestCase):
    def expect(self, source, *mutants):
        self.assertEqual(planted(source), set(mutants))

    def test_operators_between_operands_are_swapped(self):
        for operator, text, replacement in operators.BINARY:
            self.expect(f"auto x = f(a {text} b);", (operator, f"auto x = f(a {replacement} b);"))

    def test_constants(self):
        for text, expected in (("0", "1"), ("1", "0"), ("7", "8"), ("0U", "1U"), ("0xFFu", "0x100u"),
                               ("1'000", "1001"), ("010", "9"), ("0.5F", "1.0F"), ("0.0", "1.0"),
                               ("0b11", "4")):
            self.expect(f"auto x = {text};", ("constant", f"auto x = {expected};"))
        self.expect("auto x = true;", ("constant", "auto x = false;"))
        self.expect("auto x = 0x1p-3;")

    def test_unary_and_step(self):
        self.expect("bool x = !a;", ("negation", "bool x = a;"))
        self.expect("auto x = -a;", ("sign", "auto x = a;"))
        self.expect("auto x = ~a;", ("bitwise", "auto x = a;"))
        self.expect("{ ++i; }", ("step", "{ --i; }"), ("statement", "{ ; }"))
        self.expect("auto x = std::min(a, b);", ("extremum", "auto x = std::max(a, b);"))

    def test_conditions(self):
        self.expect("if (a < b) f();", ("relational", "if (a <= b) f();"),
                    ("condition", "if (!(a < b)) f();"), ("statement", "if (a < b) ;"))
        # != negated is ==, which the row of == plants already; the same for a leading !
        self.expect("if (a == b) f();", ("relational", "if (a != b) f();"), ("statement", "if (a == b) ;"))
        self.expect("if (!a) f();", ("negation", "if (a) f();"), ("statement", "if (!a) ;"))
        self.expect("if (const auto p = f()) g();", ("statement", "if (const auto p = f()) ;"))

    def test_statements(self):
        self.expect("{ f(x); }", ("statement", "{ ; }"))
        self.expect("{ a.b = c; }", ("statement", "{ ; }"))
        self.expect("{ run([&] { f(x); }); }", ("statement", "{ ; }"), ("statement", "{ run([&] { ; }); }"))
        for declaration in ("{ Foo x; }", "{ Foo<T> x(y); }", "{ const Foo& x = y; }", "{ ns::Foo x = y; }",
                            "{ Foo& x = y; }", "{ using ns::f; }", "struct S { S(const S&) = delete; };"):
            self.expect(declaration)
        self.expect("{ v.reserve(n); }")  # a matter of speed

    def test_exits(self):
        self.expect("int f() { if (a) return b; return c; }",
                    ("condition", "int f() { if (!(a)) return b; return c; }"),
                    ("early exit", "int f() { if (a) ; return c; }"),
                    ("return value", "int f() { if (a) return {}; return c; }"),
                    ("return value", "int f() { if (a) return b; return {}; }"))
        self.expect("{ for (;;) { if (a) { continue; } f(); } }",
                    ("condition", "{ for (;;) { if (!(a)) { continue; } f(); } }"),
                    ("early exit", "{ for (;;) { if (a) { ; } f(); } }"),
                    ("statement", "{ for (;;) { if (a) { continue; } ; } }"))

    def test_what_is_no_behaviour_is_left_alone(self):
        for source in ("// a < b", "/* 1 + 1 */", '#include "a/1.h"', "#define X 1 + \\\n  2", 'auto x = "a < 1";',
                       "auto x = R\"(1 < 2)\";", "char c = '1';", "static_assert(a == 1);", "alignas(64) T x;",
                       "std::array<int, 4> x;", "template <int n = 1> class T;", "const T& x;", "T* x;", "T&& x;",
                       "auto x = &y;", "auto x = *y;", "[[deprecated]] T x;"):
            self.expect(source)
        self.expect('auto x = a + "b" + c(d);')  # strings have no -
        self.expect('f("b", a + c);', ("arithmetic", 'f("b", a - c);'))

    def test_order_is_a_function_of_the_seed_and_ids_survive_other_edits(self):
        one = {"golden/a.cpp": "int f(int a) { return a + 1 < 2 * a; }\n"}
        two = {"golden/a.cpp": "// another line\n" + one["golden/a.cpp"]}
        ids = [[m.id for m in sample.ordered("golden", sources, seed)]
               for sources, seed in ((one, 1), (two, 1), (one, 2))]
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[0], ids[2])
        self.assertEqual(sorted(ids[0]), sorted(ids[2]))
        self.assertEqual(len(set(ids[0])), len(ids[0]))


class Report(unittest.TestCase):
    RECORDS = [dict(id=str(i), round=1, commit="c", room="golden", file="golden/a.cpp", line=i, operator="o",
                    before="a|b", after="a", status=status, by="t: T.U")
               for i, status in enumerate(["killed"] * 8 + ["timeout", "survived", "invalid"])]

    def test_score_counts_what_compiled(self):
        self.assertIn("| golden | 10 | 9 | 1 | 1 | 90.0 % | 59.6 to 98.2 % | 1 |", report.score_table(self.RECORDS))

    def test_first_and_last_judgement_are_told_apart(self):
        again = dict(self.RECORDS[9], status="killed", round=2, commit="d")
        text = report.markdown([*self.RECORDS, again], {})
        self.assertIn("| golden | 10 | 9 | 1 | 1 |", text)
        self.assertIn("| golden | 10 | 10 | 1 | 0 |", text)
        self.assertIn("`a\\|b`", report.markdown(self.RECORDS, {}))

    def test_a_torn_line_of_the_journal_is_ignored(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "journal"
            path.write_text('{"id": "1"}\n{"id": ')
            self.assertEqual(report.read_journal(path), [{"id": "1"}])


class Rooms(unittest.TestCase):
    def test_every_named_test_is_declared_and_every_pattern_matches(self):
        root = pathlib.Path(os.environ["ASSAY_SOURCE"])
        declared = "".join(p.read_text() for p in (root / "tests").glob("*/CMakeLists.txt"))
        paths = [str(p.relative_to(root)) for p in root.glob("**/*.cpp")] + ["formats/codec.h"]
        for room in rooms.ROOMS.values():
            self.assertTrue(rooms.files_of(room, paths))
            for test in rooms.all_tests(room, root):
                if test not in rooms.COMMANDS:
                    self.assertIn(f"assay_test({test} ", declared)
        for pattern, tests in rooms.FIRST:
            self.assertTrue(list(root.glob(pattern)), pattern)
            for test in tests:
                self.assertTrue(any(test in rooms.all_tests(room, root) for room in rooms.ROOMS.values()), test)


if __name__ == "__main__":
    unittest.main()
