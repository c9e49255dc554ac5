# SPDX-License-Identifier: Apache-2.0
"""From the journal to the score."""
import json
import math
from collections import Counter

KILLED = ("killed", "timeout")
VALID = (*KILLED, "survived")


def wilson(successes, trials, z=1.959963984540054):
    """The 95 % Wilson interval of a proportion."""
    if not trials:
        return 0.0, 1.0
    p, scale = successes / trials, 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def read_journal(path):
    """Complete lines only: a run that was killed leaves at most one that is not."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]


def by_mutant(records):
    """{id: its records, oldest first}"""
    histories = {}
    for record in records:
        histories.setdefault(record["id"], []).append(record)
    return histories


def score_table(outcomes):
    """Rows of Markdown: a row a room, and all of them."""
    lines = ["| room | valid mutants | killed | by a time limit | survived | score | 95 % interval | not compiled |",
             "|---|---|---|---|---|---|---|---|"]
    for room in [*dict.fromkeys(r["room"] for r in outcomes), "all"]:
        count = Counter(r["status"] for r in outcomes if room in (r["room"], "all"))
        valid = sum(count[s] for s in VALID)
        killed = sum(count[s] for s in KILLED)
        low, high = wilson(killed, valid)
        score = f"{100 * killed / valid:.1f} %" if valid else "-"
        lines.append(f"| {room} | {valid} | {killed} | {count['timeout']} | {count['survived']} | {score} | "
                     f"{100 * low:.1f} to {100 * high:.1f} % | {count['invalid']} |")
    return lines


def _cell(text):
    return "`" + text.replace("|", "\\|") + "`"


def survivor_table(records, reasons):
    lines = ["| place | operator | line | becomes | why it survives |", "|---|---|---|---|---|"]
    for r in sorted(records, key=lambda r: (r["file"], r["line"])):
        lines.append(f"| {r['file']}:{r['line']} | {r['operator']} | {_cell(r['before'])} | "
                     f"{_cell(r['after'])} | {reasons.get(r['id'], 'not explained')} |")
    return lines


def markdown(records, reasons):
    """First scores per round, the score after later rounds, and the survivors that remain."""
    histories = by_mutant(records)
    lines = []
    rounds = sorted({h[0]["round"] for h in histories.values()})
    for number in rounds:
        mine = [h for h in histories.values() if h[0]["round"] == number]
        commits = ", ".join(dict.fromkeys(h[0]["commit"] for h in mine))
        lines += [f"### Sample {number}, as first judged (commit {commits})", "",
                  *score_table([h[0] for h in mine]), ""]
        if any(len(h) > 1 for h in mine):
            commits = ", ".join(dict.fromkeys(h[-1]["commit"] for h in mine if len(h) > 1))
            lines += [f"### Sample {number}, its survivors judged again (commit {commits})", "",
                      *score_table([h[-1] for h in mine]), ""]
    last = [h[-1] for h in histories.values()]
    survivors = [r for r in last if r["status"] == "survived"]
    lines += ["### Survivors", "", *survivor_table(survivors, reasons), ""]
    killers = Counter(r["by"].split(":")[0] for r in last if r["status"] in KILLED)
    lines += ["### What killed the others", "", "| test | mutants |", "|---|---|",
              *(f"| {test} | {n} |" for test, n in killers.most_common()), ""]
    operators = Counter((r["operator"], r["status"] in KILLED) for r in last if r["status"] in VALID)
    lines += ["| operator | valid | killed |", "|---|---|---|",
              *(f"| {o} | {operators[o, True] + operators[o, False]} | {operators[o, True]} |"
                for o in sorted({o for o, _ in operators})), ""]
    return "\n".join(lines)
