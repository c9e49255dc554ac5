# SPDX-License-Identifier: Apache-2.0
"""The tensors of a recording on their way to files, and the manifest that comes last."""
import json
import os
import threading

import safetensors_io

SCHEMA_VERSION = 1


class Book:
    """The tensors to be written, each once: an operand equal to an output already kept shares it."""

    def __init__(self, cast, part):
        self.cast, self.part = cast, part
        self.entries, self.pieces, self.shared = {}, {}, {}  # pieces: (kind, key) -> tensor

    def put(self, op, role, pieces, kind="activations", place=None):
        """`place`: (offset, shape of the whole) of the one piece that this rank has."""
        pieces = [self.cast(role, op["id"], p) for p in pieces]
        name = f"{op['id']}.{role}"
        if name in self.entries:
            op["tensors"][role] = name
            return name
        key = (role in ("input", "output"), tuple(p.shape for p in pieces), str(place),
               tuple(hash(safetensors_io.raw_bytes(p)) for p in pieces))
        if role == "input" and pieces[0].numel() and key in self.shared:
            op["tensors"][role] = self.shared[key]
            return self.shared[key]
        self.shared.setdefault(key, name)
        rows = sum(p.shape[0] for p in pieces)
        offset, shape = place or ([0] * pieces[0].dim(), [rows, *pieces[0].shape[1:]])
        shards, row = [], 0
        for i, piece in enumerate(pieces):
            shard = {"key": f"{name}@{i}" if len(pieces) > 1 else name}
            if len(pieces) > 1 or place:
                shard |= {"offset": [offset[0] + row, *offset[1:]], "shape": list(piece.shape)}
            if len(pieces) > 1:
                shard["microbatch"] = i
            self.pieces[kind, shard["key"]] = piece
            shards.append(shard)
            row += piece.shape[0]
        self.entries[name] = {"name": name, "role": role, "shape": list(shape), "shards": shards,
                              "dtype": safetensors_io.NAMES[pieces[0].dtype]}
        op["tensors"][role] = name
        return name

    def keep(self, ops, roles):
        """Forgets the tensors of all other roles."""
        for name in [n for n, e in self.entries.items() if e["role"] not in roles]:
            self._forget(self.entries.pop(name))
        for op in ops:
            op["tensors"] = {r: n for r, n in op["tensors"].items() if n in self.entries}

    def drop(self, op, role):
        """Forgets an operand unless another op reads it; only its owner may drop it."""
        entry = self.entries.pop(f"{op['id']}.{role}", None)
        if entry:
            self._forget(entry)

    def _forget(self, entry):
        for shard in entry["shards"]:
            for kind in ("weights", "activations"):
                self.pieces.pop((kind, shard["key"]), None)

    def write_files(self, folder, shard_bytes):
        """Every file at most about `shard_bytes` long. Returns the manifest: names, bytes, SHA-256."""
        prefix = f"rank-{self.part['rank']:05d}-" if self.part["ranks"] > 1 else ""
        place, manifest = {}, []
        for kind in ("weights", "activations"):
            files, size = [{}], 0
            for (k, key), tensor in self.pieces.items():
                if k != kind:
                    continue
                if size and size + safetensors_io.byte_size(tensor) > shard_bytes:
                    files, size = files + [{}], 0
                files[-1][key] = tensor
                size += safetensors_io.byte_size(tensor)
            for i, tensors in enumerate(files):
                if not tensors:
                    continue
                file = f"{prefix}{kind}" + (f"-{i:05d}" if len(files) > 1 else "") + ".safetensors"
                size, digest = safetensors_io.save(os.path.join(folder, file), tensors)
                manifest.append({"file": file, "bytes": size, "sha256": digest})
                place |= {key: file for key in tensors}
        for entry in self.entries.values():
            for shard in entry["shards"]:
                shard["file"] = place[shard["key"]]
                if shard["key"] == entry["name"]:
                    del shard["key"]
        return manifest


def manifest_name(part):
    return f"part-{part['rank']:05d}-of-{part['ranks']:05d}.json" if part["ranks"] > 1 else "recording.json"


def write(folder, book, head, ops, shard_bytes):
    """The manifest is written last and an older one removed first: a killed recording has none."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, manifest_name(book.part))
    if os.path.exists(path):
        os.remove(path)
    head = {"schema": "assay-recording", "version": SCHEMA_VERSION} | head
    if book.part["ranks"] > 1:
        head |= book.part
    head["files"] = book.write_files(folder, shard_bytes)
    safetensors_io.write_atomically(path, [readable(head, ops, book.entries).encode()])


def readable(head, ops, entries):
    """One op or tensor a line: a diff of two recordings is readable."""
    line = lambda value: json.dumps(value, separators=(",", ":"))
    parts = [f"{json.dumps(k)}:{line(v)}" for k, v in head.items()]
    for key, values in (("ops", ops), ("tensors", entries.values())):
        parts.append(f'"{key}":[\n' + ",\n".join(line(v) for v in values) + "\n]")
    return "{" + ",\n".join(parts) + "}\n"


class Background:
    """One thread that writes while the training goes on. What fails there is raised at the next call here."""

    def __init__(self):
        self.thread, self.error = None, None

    def start(self, function):
        self.wait()  # one recording at a time: two would hold twice the memory

        def run():
            try:
                function()
            except BaseException as e:
                self.error = e
        self.thread = threading.Thread(target=run, name="assay-recorder")
        self.thread.start()

    def wait(self):
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.error is not None:
            error, self.error = self.error, None
            raise error
