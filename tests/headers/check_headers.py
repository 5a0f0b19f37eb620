#!/usr/bin/env python3
"""Compiles each public header on its own (syntax and templates only), several at once.

Usage: check_headers.py INCLUDE_DIR -- COMPILER [ARGUMENT...]

A header that compiles only after another one breaks whoever includes it first. Each is included twice, so that a
missing include guard shows too. Exit code 0 when all compile.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys


def check(compiler, include_dir, header):
    name = header.relative_to(include_dir).as_posix()
    program = f"#include <{name}>\n#include <{name}>\n"
    done = subprocess.run(
        [*compiler, "-fsyntax-only", "-x", "c++", f"-I{include_dir}", "-"],
        input=program, capture_output=True, text=True, check=False)
    return name, done.returncode, done.stderr


def main(arguments):
    split = arguments.index("--")
    include_dir, compiler = pathlib.Path(arguments[0]), arguments[split + 1:]
    headers = sorted(include_dir.rglob("*.hpp"))
    if not headers:
        print(f"no headers under {include_dir}")
        return 1
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, code, errors in pool.map(lambda header: check(compiler, include_dir, header), headers):
            if code != 0:
                failed += 1
                print(f"{name} does not compile alone:\n{errors}")
    print(f"{len(headers) - failed} of {len(headers)} public headers compile alone")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
