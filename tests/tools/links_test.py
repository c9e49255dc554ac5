# SPDX-License-Identifier: Apache-2.0
"""Every page of documentation that this tree names exists: links in Markdown, and mentions of docs/ anywhere."""
import os
import pathlib
import re
import sys

SOURCE = pathlib.Path(os.environ["ASSAY_SOURCE"])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
MENTION = re.compile(r"\bdocs/[\w/.-]+\.md\b")
TEXT = {".md", ".h", ".cpp", ".cu", ".cuh", ".py", ".txt", ".cmake", ".json"}


def files():
    for folder, folders, names in os.walk(SOURCE):
        folders[:] = [f for f in folders if not f.startswith((".", "build"))]
        yield from (pathlib.Path(folder) / n for n in names if pathlib.Path(n).suffix in TEXT)


def main():
    broken, checked = [], 0
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        places = [SOURCE / m for m in MENTION.findall(text)]
        if path.suffix == ".md":
            places += [path.parent / m for m in LINK.findall(text) if "://" not in m]
        checked += len(places)
        broken += [f"{path.relative_to(SOURCE)}: {p.relative_to(SOURCE)}" for p in places if not p.exists()]
    print(f"{checked} links, {len(broken)} broken", *broken, sep="\n")
    return 1 if broken or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
