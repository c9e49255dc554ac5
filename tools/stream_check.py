#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast assay replay --operands streams a recording, beside reading the same files: both in one run.

    tools/stream_check.py FOLDER --gb 40 --recipe mxfp4-w4a4 --recipe nvfp4-w4a4     # larger than memory
    tools/stream_check.py FOLDER --gb 2 --warm --recipe ...                          # from the page cache

Writes a recording of BF16 weights into FOLDER (no holes: every block is written; 64 MiB of random values,
rotated by another amount in every tensor), reads its files with one, two and four threads and gives each recipe a
pass, in turn, `--rounds` times. Before each pass the files leave the page cache (posix_fadvise DONTNEED; --warm:
they are read into it instead). The speed of reading is the best of them; beside it stands that of O_DIRECT
into huge pages by eight threads, which few programs use. Removes the recording at the end.
Exit code 1 where a recipe streams slower than `--least` of it, or needs more than `--memory` MiB.
"""
import argparse
import ctypes
import datetime
import json
import mmap
import os
import platform
import random
import shutil
import struct
import sys
import threading
import time

SIDE = 16384  # of a square weight: 512 MiB
CHUNK = 4 << 20


def noise():
    """64 MiB of BF16 with the exponents of a normal distribution, roughly: half above 2^-1, then halving."""
    source = random.Random(1)
    low = source.randbytes(32 << 20)
    high = source.randbytes(32 << 20).translate(bytes(
        (0x80 if b & 1 else 0) | (0x3F if b < 176 else 0x3E if b < 240 else 0x3D) for b in range(256)))
    both = bytearray(64 << 20)
    both[0::2], both[1::2] = low, high
    return bytes(both)


def write_recording(folder, gigabytes):
    os.makedirs(folder)
    block, size = noise(), 2 * SIDE * SIDE
    ops, tensors, files = [], [], []
    for i in range(max(1, round(gigabytes * 1e9 / size))):
        name, cls = f"layers.{i}.w.weight", ("attention", "expert", "dense")[i % 3]
        header = json.dumps({name: {"dtype": "BF16", "shape": [SIDE, SIDE], "data_offsets": [0, size]}}).encode()
        header += b" " * (-len(header) % 8)
        file = f"weights-{i:05d}.safetensors"
        turn = 2 * ((i * 7919321) % (len(block) // 2))
        mine = block[turn:] + block[:turn]
        with open(os.path.join(folder, file), "wb") as f:
            f.write(struct.pack("<Q", len(header)) + header)
            for _ in range(size // len(block)):
                f.write(mine)
            f.flush()
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        files.append(os.path.join(folder, file))
        ops.append({"id": f"layers.{i}.w", "kind": "linear", "class": cls, "layer": i, "inputs": [],
                    "tensors": {"weight": name}})
        tensors.append({"name": name, "role": "weight", "dtype": "BF16", "shape": [SIDE, SIDE],
                        "shards": [{"file": file}]})
    with open(os.path.join(folder, "recording.json"), "w") as f:
        json.dump({"schema": "assay-recording", "version": 1, "name": "stream", "training_step": 0,
                   "token_sampling": "", "provenance": {"text": "noise", "licence": "CC0-1.0", "facts": {}},
                   "ops": ops, "tensors": tensors}, f)
    return files


def settle(files, warm):
    for file in files:
        f = os.open(file, os.O_RDONLY)
        if not warm:
            os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(f)
    if warm:
        read(files, 1)


def read(files, threads, direct=False):
    def run(mine):
        room = mmap.mmap(-1, CHUNK + (2 << 20))
        room.madvise(mmap.MADV_HUGEPAGE)
        first = -ctypes.addressof(ctypes.c_char.from_buffer(room)) % (2 << 20)  # where a huge page begins
        buffer = memoryview(room)[first:first + CHUNK]
        for file in mine:
            f = os.open(file, os.O_RDONLY | (os.O_DIRECT if direct else 0))
            while os.readv(f, [buffer]) == CHUNK:
                pass
            os.close(f)
    begin = time.monotonic()
    pool = [threading.Thread(target=run, args=(files[t::threads],)) for t in range(threads)]
    for t in pool:
        t.start()
    for t in pool:
        t.join()
    return time.monotonic() - begin


def replay(assay, folder, recipe):
    """(seconds, MiB of resident memory at most, seconds of processor time)."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(assay, [assay, "replay", folder, "--operands", "--recipe", recipe])
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"assay replay --operands --recipe {recipe} failed: {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - begin, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("folder", help="a new folder, on the disk that is measured")
    p.add_argument("--assay", default="build/tools/assay", help="the program (default build/tools/assay)")
    p.add_argument("--gb", type=float, default=40)
    p.add_argument("--recipe", action="append", required=True)
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--warm", action="store_true")
    p.add_argument("--least", type=float, default=0.8, help="of the speed of reading (default 0.8)")
    p.add_argument("--memory", type=float, default=2000, help="MiB (default 2000)")
    args = p.parse_args()
    assay = os.path.abspath(args.assay)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(args.folder))).free
    if free < args.gb * 1.02e9:
        sys.exit(f"{free / 1e9:.1f} GB are free, {args.gb} GB are needed")
    try:
        files = write_recording(args.folder, args.gb)
        total = sum(os.path.getsize(f) for f in files)
        held = sum(os.stat(f).st_blocks * 512 for f in files)
        print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, {len(files)} tensors, "
              f"{total / 1e9:.2f} GB in files, {held / 1e9:.2f} GB on the disk, "
              f"{'warm' if args.warm else 'cold'}", flush=True)
        reading, around, passes = [], [], {r: [] for r in args.recipe}
        for i in range(args.rounds):
            for threads in (1, 2, 4):
                settle(files, args.warm)
                reading.append(total / read(files, threads) / 1e9)
                print(f"read, {threads} thread(s): {reading[-1]:.2f} GB/s", flush=True)
            if not args.warm:
                settle(files, False)
                around.append(total / read(files, 8, direct=True) / 1e9)
                print(f"read around the page cache, 8 threads: {around[-1]:.2f} GB/s", flush=True)
            for recipe in args.recipe:
                settle(files, args.warm)
                seconds, memory, busy = replay(assay, args.folder, recipe)
                passes[recipe].append((total / seconds / 1e9, memory, busy / seconds))
                print(f"{recipe}: {passes[recipe][-1][0]:.2f} GB/s, {memory:.0f} MiB, "
                      f"{busy / seconds:.2f} cores busy, {os.getloadavg()[0]:.1f} load", flush=True)
        best, failed = max(reading), False
        most = max(around, default=best)
        print(f"\n| recipe | GB/s | of reading ({best:.2f} GB/s) | of reading around the page cache ({most:.2f}) "
              "| resident MiB |\n|---|---|---|---|---|")
        for recipe, rows in passes.items():
            speed, memory = max(r[0] for r in rows), max(r[1] for r in rows)
            failed |= speed < args.least * best or memory > args.memory
            print(f"| `{recipe}` | {speed:.2f} | {speed / best:.2f} | {speed / most:.2f} | {memory:.0f} |")
        return 1 if failed else 0
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
