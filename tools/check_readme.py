#!/usr/bin/env python3
"""Checks that the programs README.md shows are the ones that are built.

A line `<!-- examples/NAME.cpp -->` before a code block says where its text comes from; block and file must be the same.
Exit code 0 when they are.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- (\S+\.cpp) -->\n```cpp\n(.*?)```", re.DOTALL)


def main():
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    if not blocks:
        print("README.md shows no program")
        return 1
    wrong = [name for name, text in blocks if (ROOT / name).read_text(encoding="utf-8") != text]
    for name in wrong:
        print(f"README.md and {name} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
