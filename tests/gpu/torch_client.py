#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets PyTorch, Triton and CuPy work on a GPU, part by part, and tells what each part really did. Prints "ready" once it
has its context, and does a part for each line that it reads: eager graphs copies memory out_of_memory triton cupy nccl
illegal_address (the last: the context is lost). For each, a line of JSON: when it was, and what the GPU did, by
NVIDIA's own tracing interface (CUPTI, through PyTorch's profiler)."""
import json
import sys
import tempfile
import time

import torch
from torch.autograd import DeviceType

MIB = 1 << 20
STEPS, MULTIPLICATIONS = 50, 20


def eager():
    for _ in range(STEPS):
        value = weights
        for _ in range(MULTIPLICATIONS):
            value = (value @ weights).relu_()
        torch.cuda.synchronize()
    return {"waits": STEPS}


def graphs():
    for _ in range(STEPS):
        graph.replay()
        torch.cuda.current_stream().synchronize()
    return {"waits": STEPS, "graphs": STEPS, "launches": 0}


def copies():
    host = torch.empty(16 * MIB, dtype=torch.uint8).pin_memory()
    device = torch.empty(16 * MIB, dtype=torch.uint8, device="cuda")
    for _ in range(STEPS):
        device.copy_(host, non_blocking=True)
        host.copy_(device, non_blocking=True)
        torch.cuda.synchronize()
    return {"waits": STEPS, "copied_bytes": 2 * STEPS * 16 * MIB}


def memory():
    before = torch.cuda.memory_reserved()
    blocks = [torch.empty(256 * MIB, dtype=torch.uint8, device="cuda") for _ in range(8)]
    held = torch.cuda.memory_reserved() - before
    time.sleep(1.5)
    blocks.clear()
    torch.cuda.empty_cache()
    return {"held_bytes": held, "left_bytes": torch.cuda.memory_reserved() - before}


def out_of_memory():
    try:
        torch.empty(1 << 42, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError:
        return {"failed": True}
    return {"failed": False}


def illegal_address():
    kernel = cupy.RawKernel('extern "C" __global__ void wild(int* p) { p[1ull << 40] = 1; }', "wild")
    kernel((1,), (1,), (cupy.zeros(1, dtype=cupy.int32),))
    try:
        cupy.cuda.Device().synchronize()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return {"failed": str(error)}
    return {"failed": False}


def nccl():
    """In a group of one, which NCCL is asked for all the same."""
    for _ in range(STEPS):
        torch.distributed.all_reduce(sums)
        torch.distributed.all_gather_into_tensor(gathered, sums)
        torch.cuda.synchronize()
    return {"waits": STEPS, "collectives": 2 * STEPS}


def triton_kernel():
    for _ in range(STEPS):
        triton_add[(1024,)](weights, weights, sums, BLOCK=1024)
    torch.cuda.synchronize()
    return {"waits": 1}


def cupy_kernel():
    for _ in range(STEPS):
        cupy_add(numbers, numbers, numbers)
    cupy.cuda.Stream.null.synchronize()
    return {"waits": 1}


def traced(part):
    """What a part returns, and what CUPTI saw of it."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        begin = time.monotonic_ns()
        out = part()
        end = time.monotonic_ns()
    kernels = copied = 0
    busy = 0.0
    names = {}
    for event in profile.events():
        if event.device_type != DeviceType.CUDA:
            names[event.name] = names.get(event.name, 0) + 1
            continue
        busy += event.time_range.elapsed_us()
        if event.name.startswith("Memcpy"):
            copied += 1
        elif not event.name.startswith("Memset"):
            kernels += 1
    calls = {name: count for name, count in names.items() if name.startswith("cu")}
    return {"begin": begin, "end": end, "kernels": kernels, "copies": copied, "busy_us": busy, "calls": calls, **out}


torch.manual_seed(1)
weights = torch.randn(1024, 1024, device="cuda", dtype=torch.bfloat16) / 32
sums = torch.empty_like(weights)
eager()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    replayed = weights
    for _ in range(MULTIPLICATIONS):
        replayed = (replayed @ weights).relu_()
gathered = torch.empty_like(weights)
PARTS = {"eager": eager, "graphs": graphs, "copies": copies, "memory": memory, "out_of_memory": out_of_memory}
try:
    from triton_add import triton_add
    PARTS["triton"] = triton_kernel
    triton_kernel()
except ImportError:
    pass
try:
    import cupy
    cupy_add = cupy.ElementwiseKernel("float32 a, float32 b", "float32 c", "c = a + b", "add_of_cupy")
    numbers = cupy.ones(1 << 20, dtype=cupy.float32)
    PARTS |= {"cupy": cupy_kernel, "illegal_address": illegal_address}
    cupy_kernel()
except ImportError:
    pass
if torch.distributed.is_nccl_available():
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group("nccl", f"file://{folder}/store", rank=0, world_size=1)
        nccl()
    PARTS["nccl"] = nccl
traced(eager)  # the first use of CUPTI takes seconds
print("ready", flush=True)
for line in sys.stdin:
    name = line.strip()
    if name not in PARTS:
        print(json.dumps({"part": name, "skipped": "what it needs is not installed"}), flush=True)
        continue
    part = PARTS[name]
    # Parts that fail on purpose are not traced: CUPTI would fail with them.
    untraced = name in ("out_of_memory", "illegal_address", "memory")
    if untraced:
        begin = time.monotonic_ns()
        truth = {**part(), "begin": begin, "end": time.monotonic_ns()}
    else:
        truth = traced(part)
    print(json.dumps({"part": name, **truth}), flush=True)
