#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the functions that programs get from the CUDA driver by cuGetProcAddress are those that its library exports,
which is where probes are put. Prints a line of JSON: how many of the known functions there are, and which differ. Each is
asked for as programs of several versions of CUDA do."""
import ctypes
import json
import pathlib
import re
import sys

TABLE = pathlib.Path(__file__).resolve().parents[2] / "agent/discover/gpu/gpu_functions.cpp"
CUDA_VERSIONS = (11000, 12000, 13000)
STREAM_FLAGS = {"legacy": 1, "per_thread": 2, "default": 0}
PROBED_SUFFIXES = ("", "_ptsz", "_ptds")
SUFFIXES = ("", "_v2", "_v3", "_ptsz", "_ptds", "_v2_ptsz", "_v2_ptds", "_v3_ptsz")


def known():
    """The driver's functions of the agent's own table."""
    text = TABLE.read_text()
    table = text[text.index("std::array cuda{"):text.index("std::array cuda_runtime{")]
    return re.findall(r'GpuSymbol\{"(\w+)"', table)


class Library:
    def __init__(self, name):
        self.handle = ctypes.CDLL(name)
        self.by_address = {}

    def exported(self, name):
        try:
            address = ctypes.cast(getattr(self.handle, name), ctypes.c_void_p).value
        except AttributeError:
            return None
        self.by_address.setdefault(address, []).append(name)
        return address

    def asked(self, name, version, flags):
        out, status = ctypes.c_void_p(), ctypes.c_int()
        result = self.handle.cuGetProcAddress_v2(name.encode(), ctypes.byref(out), version, ctypes.c_uint64(flags),
                                                 ctypes.byref(status))
        return out.value if result == 0 else None


def main():
    driver = Library("libcuda.so.1")
    version = ctypes.c_int()
    if driver.handle.cuInit(0) != 0 or driver.handle.cuDriverGetVersion(ctypes.byref(version)) != 0:
        sys.exit("the CUDA driver does not come up")
    names = known()
    missing = [name for name in names if driver.exported(name) is None]
    probed = {address for name in names for suffix in PROBED_SUFFIXES if (address := driver.exported(name + suffix))}
    for name in names:
        for suffix in SUFFIXES:
            driver.exported(re.sub(r"_v2$", "", name) + suffix)
    same, other, past, unknown = 0, set(), set(), set()
    for name in names:
        plain = re.sub(r"_v2$", "", name)
        for cuda in CUDA_VERSIONS:
            for kind, flags in STREAM_FLAGS.items():
                address = driver.asked(plain, cuda, flags)
                if address is None:
                    unknown.add(f"{plain} {cuda}")
                elif address not in driver.by_address:
                    other.add(f"{plain} {cuda} {kind}")
                elif address not in probed:
                    past.add(f"{plain} {cuda} {kind}: {'/'.join(driver.by_address[address])}")
                else:
                    same += 1
    print(json.dumps({"driver": version.value, "functions": len(names), "not_exported": missing, "probed": same,
                      "not_exported_but_told": sorted(other), "exported_and_not_probed": sorted(past),
                      "not_told": sorted(unknown)}))


if __name__ == "__main__":
    main()
