#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maps the libraries of GPUs that it is told, as programs do that use them, and stops itself until it may go on. Of
Level Zero's, which needs no GPU to be loaded, it calls some functions then. Prints what those returned and waits.

usage: gpu_libraries_client.py FILE…"""
import ctypes
import json
import mmap
import os
import signal
import sys

files, calls, results = [], [], {}
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        files.append(mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))
    if "libze_loader" in path:
        loader = ctypes.CDLL(path)
        loader.zeInit(0)
        calls = [(loader.zeMemAllocDevice, (None, None, ctypes.c_size_t(4096), ctypes.c_size_t(0), None, None)),
                 (loader.zeCommandQueueSynchronize, (None, ctypes.c_uint64(0))),
                 (loader.zeCommandListAppendLaunchKernel, (None, None, None, None, 0, None))]
os.kill(os.getpid(), signal.SIGSTOP)
for call, arguments in calls:
    results[call.__name__] = call(*arguments)
print(json.dumps(results), flush=True)
signal.pause()
