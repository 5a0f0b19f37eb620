#!/usr/bin/env python3
"""Checks the rules between the rooms, and says file and line of each breach.

- A file in a room includes only headers of its own room and of those it may use (MAY_USE, the design's table).
- A public header includes no heavy third-party header; Beast stays in the http room's .cpp files.
- Every .hpp has `#pragma once`.
- Every .cpp in src/ROOM is named in that room's CMakeLists.txt: there are no globs to pick it up.

Usage: check_layers.py [ROOT]. Exit code 0 when all is well, 1 otherwise.
"""

import pathlib
import re
import sys

ROOMS = ["base", "runtime", "csp", "otp", "net", "http", "web", "realtime", "cluster", "data", "observe", "testing"]

MAY_USE = {
    "base": [],
    "runtime": ["base"],
    "csp": ["base", "runtime"],
    "otp": ["base", "runtime"],
    "net": ["base", "runtime"],
    "http": ["base", "runtime", "otp", "net"],
    "web": ["base", "runtime", "csp", "otp", "net", "http"],
    "realtime": ["base", "runtime", "csp", "otp", "net", "http", "web"],
    "cluster": ["base", "runtime", "csp", "otp", "realtime"],
    "data": ["base", "runtime", "csp", "otp", "net"],
    "observe": ["base", "runtime", "csp", "otp", "net", "http", "web", "realtime", "cluster", "data"],
    "testing": [room for room in ROOMS if room != "testing"],
}

# A hello-world service must compile in a few seconds, and a user must not meet these libraries' names.
HEAVY = {
    "boost/asio": "Boost.Asio",
    "boost/beast": "Boost.Beast",
    "openssl/": "OpenSSL",
    "nghttp2/": "nghttp2",
    "wslay/": "wslay",
    "spdlog/": "spdlog",
    "fmt/": "fmt",
    "backtrace.h": "libbacktrace",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
PRAGMA_ONCE = re.compile(r"^\s*#\s*pragma\s+once\b", re.MULTILINE)


def room_of(path):
    """The room of a file, given relative to the root, "" for the umbrella headers, None for what is in no room."""
    parts = path.parts
    if parts[:2] == ("include", "genever"):
        return parts[2] if len(parts) > 3 else ""
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return None


def room_of_include(root, path, quote, name):
    """The room that an include reaches into, "" for an umbrella header, None for what is not ours."""
    if name.startswith("genever/"):
        rest = name.split("/")[1:]
        return rest[0] if len(rest) > 1 else ""
    if quote == '"':
        beside = root / path.parent / name
        if beside.exists():
            return room_of(beside.resolve().relative_to(root.resolve()))
        if (root / "src" / name).exists():
            return room_of(pathlib.Path("src") / name)
    return None


def check_file(root, path):
    """Yields "file:line: message" for each breach in one file."""
    text = (root / path).read_text(encoding="utf-8", errors="replace")
    room = room_of(path)
    public = path.parts[0] == "include"
    header = path.suffix == ".hpp"
    is_test = path.stem.endswith("_test")

    if header and not PRAGMA_ONCE.search(text):
        yield f"{path}:1: a header needs '#pragma once'"
    if room and room not in MAY_USE:
        yield f"{path}:1: there is no room '{room}' (tools/check_layers.py lists them)"
        return

    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()

        for prefix, library in HEAVY.items():
            if not (name == prefix or (prefix[-1:] != "h" and name.startswith(prefix))):
                continue
            if public:
                yield f"{path}:{number}: a public header may not include {library} (<{name}>)"
            elif prefix == "boost/beast" and room is not None and (header or room != "http"):
                yield f"{path}:{number}: {library} may be included only in the .cpp files of room 'http'"

        if room is None:
            continue
        target = room_of_include(root, path, quote, name)
        if target is None or target == room:
            continue
        if room == "":
            if target == "testing":
                yield f"{path}:{number}: nothing shipped may include {name}"
        elif target == "":
            yield f"{path}:{number}: room '{room}' may not include the umbrella header {name}"
        elif target not in MAY_USE[room] and not (is_test and target == "testing"):
            yield f"{path}:{number}: room '{room}' may not include {name}"


def check_listed(root):
    """Yields a message for each source that its room's CMakeLists.txt does not name."""
    for source in sorted((root / "src").glob("*/**/*.cpp")):
        room = root / "src" / source.relative_to(root / "src").parts[0]
        lists = room / "CMakeLists.txt"
        listed = re.sub(r"#.*", "", lists.read_text()).split() if lists.exists() else []
        if source.relative_to(room).as_posix() not in [word.strip("()") for word in listed]:
            yield f"{source.relative_to(root)}:1: not listed in {lists.relative_to(root)}"


def files_of(root):
    for folder in ("include", "src", "tests", "examples", "bench", "fuzz"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp") and path.is_file():
                yield path.relative_to(root)


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[1]
    files = list(files_of(root))
    breaches = [breach for path in files for breach in check_file(root, path)]
    breaches += check_listed(root)
    for breach in breaches:
        print(breach)
    if breaches:
        print(f"layers: {len(breaches)} breaches in {len(files)} files", file=sys.stderr)
        return 1
    if not files:
        print(f"layers: no C++ files under {root}", file=sys.stderr)
        return 1
    print(f"layers: {len(files)} files keep to their rooms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
