#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the direction of dependencies: each folder may include only what the table allows. Also: one licence line in
every source file, and no file over 600 lines."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAGES = ["source", "discover", "assemble", "interpret", "correlate", "detect", "store"]
BELOW = {"core": [], "yaml": ["core"], "model": ["core"]}
BELOW.update({stage: ["core", "model"] for stage in STAGES})
BELOW["policy"] = ["core", "yaml", "model"]
BELOW["act"] = ["core", "model", "policy"]
BELOW["web"] = ["core", "model"]
BELOW["exporters"] = ["core", "model"]
BELOW["runtime"] = ["core", "yaml", "model", *STAGES, "policy", "act", "web", "exporters"]
BELOW["cli"] = [*BELOW["runtime"], "runtime"]
# What only one place may use.
ONLY = {"bpf/libbpf.h": "agent/source/live/", "bpf/bpf.h": "agent/source/live/", "bpf/abi/wire.h": "agent/source/",
        "bpf/abi/wire_gpu.h": "agent/source/"}
LINES = 600
LICENCE = {"bpf": "SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)", "": "SPDX-License-Identifier: Apache-2.0"}
INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]', re.M)


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    return "exporters" if parts[0] == "exporters" else parts[1]


def check_includes(path, text):
    folder = folder_of(path)
    for include in INCLUDE.findall(text):
        for header, home in ONLY.items():
            if include == header and not str(path.relative_to(ROOT)).startswith(home):
                yield f"{include} may be used in {home} only"
        first = include.split("/")[0]
        if "/" in include and first in BELOW and first != folder and first not in BELOW[folder]:
            yield f"{folder} must not include {first} ({include})"


def check_file(path):
    text = path.read_text()
    if text.count("\n") > LINES:
        yield f"has {text.count(chr(10))} lines, more than {LINES}"
    kind = "bpf" if path.relative_to(ROOT).parts[0] == "bpf" else ""
    if LICENCE[kind] not in text[:400]:
        yield f"lacks the line '{LICENCE[kind]}'"
    if path.relative_to(ROOT).parts[0] in ("agent", "exporters") and path.name != "main.cpp" and path.suffix in (".h", ".cpp"):
        yield from check_includes(path, text)


def main():
    patterns = ("*.h", "*.cpp", "*.c", "*.py", "*.sh", "*.proto", "CMakeLists.txt", "*.cmake")
    problems = files = 0
    for top in ("agent", "exporters", "bpf", "tests", "cmake", "scripts", "vagrant"):
        for pattern in patterns:
            for path in sorted((ROOT / top).rglob(pattern)):
                files += 1
                for problem in check_file(path):
                    print(f"{path.relative_to(ROOT)}: {problem}")
                    problems += 1
    print(f"{files} files, {problems} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
