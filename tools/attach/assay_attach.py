# SPDX-License-Identifier: Apache-2.0
"""Certify a Python function: PyTorch, Triton, NumPy, anything that Python can call.

    import assay_attach as assay

    @assay.entry(operation="quantize", a="mxfp4-rceil")
    def my_quantizer(call):
        x = call.x.numpy()                    # m x k, float32, a view of the shared memory
        codes, scales = quantize(x)           # codes 0..15, one a byte; scale codes
        call.q.values.store(codes)            # packed into nibbles here
        call.q.scales.store(scales)

    assay.main()

and then `assay certify my_attach.py`. The command starts this file in a process of its own and
speaks the protocol of proptests/wire.h with it through shared memory; the expected results never
are in this process. Needs the standard library and NumPy; PyTorch only where `torch()` is called.

A call has m, n, k, groups, alpha, beta, limit, estimator, seed, tactic, and its operands by their
names in kernels/abi/assay_dut.h: x q qt a b c bias d w given y dy dx dw dscale dbias offsets counts
random. Absent operands are None. An operand is its values; block-scaled ones have `.values`,
`.scales` and `.tensor_scale` (see Tensor). Outputs are to be written whole, inputs not at all.

A function that raises has failed, and the last line of the traceback is in the report;
`raise assay.Declined("why")` says that it does not take this call, which is not a pass.
"""
import ctypes
import mmap
import os
import sys
import traceback

ROLES = ("x q qt a b c bias d w given y dy dx dw dscale dbias offsets counts random").split()
OPERATIONS = ("convert quantize dequantize gemm quantize_gemm gated_gemm grouped_gemm qat_forward "
              "qat_backward stochastic_quantize transpose_requantize layout").split()
ENUMS = {
    "rounding": ("nearest_even nearest_away toward_zero toward_positive toward_negative to_odd "
                 "stochastic").split(),
    "accumulator": "exact fp32_any_order fp32_fixed_order truncating".split(),
    "scale_layout": "row_major 128x4".split(),
    "gate_layout": "concatenated interleaved".split(),
    "group_layout": "contiguous masked".split(),
    "random": "opaque words philox".split(),
}
ESTIMATORS = "identity clip_mask lsq pact ewgs dge trust_mask".split()
FLAGS = {"deterministic": 1, "strides": 2, "any_padding": 16, "batch_invariant": 32, "far_rows": 64}
TEXTS = {"name": 64, "a": 32, "b": 32, "d": 32, "profile": 32, "mma_model": 48}
INTEGERS = ("fraction_bits promotion random_bits m_multiple n_multiple k_multiple "
            "tactics").split()

OK, DECLINED, ERROR = 0, 1, -1
_MAGIC, _VERSION, _PAGE = 0x59415341, 1, 4096
_SOCKET, _MEMORY = 3, 4

_libc = ctypes.CDLL(None, use_errno=True)
_u8, _u16, _u32, _u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
_i32, _i64, _f32 = ctypes.c_int32, ctypes.c_int64, ctypes.c_float


class _Header(ctypes.Structure):
    _fields_ = [("magic", _u32), ("version", _u32), ("bytes", _u64), ("runs", _u64),
                ("n_runs", _u32), ("started", _u32), ("finished", _u32), ("n_claims", _u32),
                ("claims", _u64), ("most_claims", _u32), ("claim_size", _u32), ("fault", _u64),
                ("name", ctypes.c_char * 128), ("message", ctypes.c_char * 832)]


class _Claim(ctypes.Structure):
    _fields_ = ([("size", _u32), ("operation", _u32)] +
                [(field, ctypes.c_char * size) for field, size in TEXTS.items()] +
                [(field, _u32) for field in ENUMS] +
                [("fraction_bits", _i32), ("promotion", _i32), ("random_bits", _i32),
                 ("estimators", _i32), ("m_multiple", _i64), ("n_multiple", _i64),
                 ("k_multiple", _i64), ("tactics", _i32), ("flags", _u32)])


class _Tensor(ctypes.Structure):
    _fields_ = [("data", _u64), ("bytes", _u64), ("role", _u32), ("part", _u32),
                ("type_code", _u8), ("type_bits", _u8), ("type_lanes", _u16), ("layout", _u32),
                ("ndim", _i32), ("shape", _i64 * 4), ("strides", _i64 * 4)]


class _Run(ctypes.Structure):
    _fields_ = [("size", _u32), ("operation", _u32), ("entry", _i32), ("tactic", _i32),
                ("m", _i64), ("n", _i64), ("k", _i64), ("groups", _i64), ("alpha", _f32),
                ("beta", _f32), ("limit", _f32), ("estimator", _u32), ("seed", _u64),
                ("n_in", _u32), ("n_out", _u32), ("inputs", _u64), ("outputs", _u64),
                ("stream", _u64), ("guards", _u64), ("n_guards", _u32), ("follows", _u32),
                ("status", _i32), ("message", ctypes.c_char * 252)]


assert (ctypes.sizeof(_Header), ctypes.sizeof(_Claim), ctypes.sizeof(_Tensor),
        ctypes.sizeof(_Run)) == (1024, 320, 104, 376)


class Declined(Exception):
    """The function does not take this call."""


# DLPack type code and bits: name, NumPy type of its storage, name in PyTorch.
_TYPES = {
    (0, 64): ("int64", "int64", "int64"),
    (0, 32): ("int32", "int32", "int32"),
    (1, 8): ("uint8", "uint8", "uint8"),
    (1, 16): ("uint16", "uint16", "uint16"),
    (1, 32): ("uint32", "uint32", "uint32"),
    (2, 32): ("fp32", "float32", "float32"),
    (2, 16): ("fp16", "float16", "float16"),
    (4, 16): ("bf16", "uint16", "bfloat16"),
    (10, 8): ("e4m3", "uint8", "float8_e4m3fn"),
    (12, 8): ("e5m2", "uint8", "float8_e5m2"),
    (14, 8): ("e8m0", "uint8", "float8_e8m0fnu"),
    (17, 4): ("e2m1", "uint8", "float4_e2m1fn_x2"),
}


class Tensor:
    """One tensor of a call, where it lies.

    type     fp32 fp16 bf16 e4m3 e8m0 e2m1 ...; shape and strides in elements
    layout   0: strides; 1: "128x4" scale factors
    numpy()  the memory itself: bf16 as uint16, one-byte formats as uint8, e2m1 packed two to a byte
             (the even index in the low nibble), 128x4 scale factors as the flat allocation
    codes()  e2m1 unpacked to one code a byte, 128x4 scale factors as rows x columns: a copy
    torch()  as numpy(), in PyTorch's own types where they exist (else in integers of the same
             width). On the CPU a view; for another device inputs are copied there, and outputs are
             copied back when the function returns
    store(x) writes an output: numbers or codes of this shape (NumPy or PyTorch, also on a GPU);
             e2m1 and 128x4 also as numpy() has them
    """

    def __init__(self, descriptor, memory, is_output, device):
        try:
            self.type, self._storage, self._torch = _TYPES[
                descriptor.type_code, descriptor.type_bits]
        except KeyError:
            raise TypeError(f"DLPack type {descriptor.type_code} with {descriptor.type_bits} bits "
                            "is not known to assay_attach; update it") from None
        self.shape = tuple(descriptor.shape[:descriptor.ndim])
        self.strides = tuple(descriptor.strides[:descriptor.ndim])
        self.bits, self.layout, self.is_output = (descriptor.type_bits, descriptor.layout,
                                                  is_output)
        self._memory, self._at, self._bytes = memory, descriptor.data, descriptor.bytes
        self._device, self._remote = device, None

    def numpy(self):
        import numpy
        kind = numpy.dtype(self._storage)
        if self.layout == 1:
            view = numpy.ndarray((self._bytes,), kind, self._memory, self._at)
        elif self.bits == 4:
            view = numpy.ndarray(self.shape[:-1] + ((self.shape[-1] + 1) // 2,), kind, self._memory,
                                 self._at, tuple(s // 2 for s in self.strides[:-1]) + (1,))
        else:
            view = numpy.ndarray(self.shape, kind, self._memory, self._at,
                                 tuple(s * kind.itemsize for s in self.strides))
        view.flags.writeable = self.is_output
        return view

    def _positions(self):
        """Where the 128x4 layout keeps row i, column j."""
        import numpy
        i, j = numpy.ogrid[:self.shape[0], :self.shape[1]]
        return ((i // 128 * ((self.shape[1] + 3) // 4) + j // 4) * 512 + i % 32 * 16 +
                i % 128 // 32 * 4 + j % 4)

    def codes(self):
        import numpy
        stored = self.numpy()
        if self.layout == 1:
            return stored[self._positions()]
        if self.bits != 4:
            return stored
        pairs = numpy.stack((stored & 15, stored >> 4), axis=-1)
        return pairs.reshape(stored.shape[:-1] + (2 * stored.shape[-1],))[..., :self.shape[-1]]

    def torch(self, device=None):
        import torch
        device = torch.device(device or self._device)
        kind = getattr(torch, self._torch, None)
        stored = self.numpy()
        stored.flags.writeable = True  # PyTorch warns otherwise; the harness hashes the inputs
        whole = torch.from_numpy(stored)
        if kind is not None and kind != whole.dtype:
            whole = whole.view(kind)
        if device.type == "cpu":
            return whole
        if not self.is_output:
            return whole.to(device)
        if self._remote is None:
            self._remote = torch.empty_like(whole, device=device)
        return self._remote

    def store(self, values):
        import numpy
        if hasattr(values, "detach"):
            values = _integers_of(values.detach().cpu()).numpy()
        values = numpy.asarray(values)
        target = self.numpy()
        if values.dtype.isbuiltin != 1:  # ml_dtypes
            values = values.view(f"uint{8 * values.dtype.itemsize}")
        if target.dtype.kind == "u" and values.dtype.kind == "f":
            raise ValueError(f"{self.type} is written as codes (integers of {self.bits} bits or a "
                             f"type of ml_dtypes or PyTorch), not as {values.dtype}")
        if values.shape == self.shape and self.layout == 1:
            target[:] = 0
            target[self._positions()] = values
        elif values.shape == self.shape and self.bits == 4:
            if values.size and (values.min() < 0 or values.max() > 15):
                raise ValueError("an e2m1 code is not 0 to 15")
            odd = self.shape[-1] % 2
            codes = numpy.pad(values.astype(numpy.uint8), [(0, 0)] * (values.ndim - 1) + [(0, odd)])
            target[...] = codes[..., 0::2] | codes[..., 1::2] << 4
        elif values.shape == target.shape:
            target[...] = values
        else:
            raise ValueError(f"an output of shape {self.shape} cannot hold {values.shape}")

    def _copy_back(self):
        if self._remote is not None:
            self.store(self._remote)


def _integers_of(tensor):
    """A PyTorch tensor in a type that NumPy has; bits are kept."""
    import torch
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16)
    if tensor.element_size() == 1 and tensor.dtype not in (torch.int8, torch.uint8, torch.bool):
        return tensor.view(torch.uint8)
    return tensor


class Operand:
    """The parts of an operand; it stands for its values wherever one part is meant."""

    def __init__(self):
        self.values = self.scales = self.tensor_scale = None

    def __getattr__(self, name):
        return getattr(self.values if self.values is not None else self.scales, name)


class Call:
    """What the function is asked for (see the top of this file)."""

    def __init__(self, run, memory, device):
        for field in ("m n k groups alpha beta limit seed tactic").split():
            setattr(self, field, getattr(run, field))
        self.operation = OPERATIONS[run.operation - 1]
        self.estimator = ESTIMATORS[run.estimator]
        for role in ROLES:
            setattr(self, role, None)
        self._outputs = []
        for at, n, is_output in ((run.inputs, run.n_in, False), (run.outputs, run.n_out, True)):
            for t in (_Tensor * n).from_buffer(memory, at) if n else ():
                role = ROLES[t.role - 1]
                if getattr(self, role) is None:
                    setattr(self, role, Operand())
                tensor = Tensor(t, memory, is_output, device)
                setattr(getattr(self, role), ("values", "scales", "tensor_scale")[t.part], tensor)
                if is_output:
                    self._outputs.append(tensor)

    def finish(self):
        for tensor in self._outputs:
            tensor._copy_back()


_entries = []


def entry(operation, device="cpu", **fields):
    """Declares a function as an entry. Fields are those of assay_dut_claim, in words: name a b d
    profile rounding accumulator scale_layout gate_layout group_layout random fraction_bits
    promotion random_bits estimators (a list of ESTIMATORS) m_multiple n_multiple
    k_multiple tactics, and deterministic (default True), strides (takes rows apart; default True:
    the views have the strides). device: where torch() puts tensors, "cpu" or "cuda"."""

    def declare(function):
        _entries.append((function, _claim(operation, function.__name__, dict(fields)), device))
        return function

    return declare


def _number(field, names, value):
    if value not in names:
        raise ValueError(f"{field} is {value!r}; it can be {', '.join(names)}")
    return names.index(value)


def _claim(operation, name, fields):
    claim = _Claim(size=ctypes.sizeof(_Claim), name=name.encode(), d=b"fp32",
                   profile=b"saturating", random_bits=16, m_multiple=1, n_multiple=1, k_multiple=1,
                   tactics=1, accumulator=1, estimators=1)
    claim.operation = 1 + _number("operation", OPERATIONS, operation)
    flags = {"deterministic": True, "strides": True}
    for field, value in fields.items():
        if field in TEXTS:
            if len(value) >= TEXTS[field]:
                raise ValueError(f"{field} is longer than {TEXTS[field] - 1} characters: {value!r}")
            setattr(claim, field, value.encode())
        elif field in ENUMS:
            setattr(claim, field, _number(field, ENUMS[field], value))
        elif field == "estimators":
            claim.estimators = sum(1 << _number(field, ESTIMATORS, e) for e in set(value))
        elif field in INTEGERS:
            setattr(claim, field, value)
        elif field in FLAGS:
            flags[field] = value
        else:
            raise ValueError(f"a claim has no field {field!r}")
    claim.flags = sum(FLAGS[f] for f, on in flags.items() if on)
    return claim


def _put(structure, field, text):
    """Text into a field of fixed size, cut where it does not fit, with its zero."""
    room = getattr(type(structure), field).size - 1
    setattr(structure, field, text.encode("utf-8", "replace")[:room])


def _send(message):
    os.write(_SOCKET, message)


def _map(length=0):
    if not length:
        length = os.fstat(_MEMORY).st_size
    return mmap.mmap(_MEMORY, length)


def _protect(memory, run, access):
    """Makes the guard pages around the tensors inaccessible, or accessible again."""
    if not run.n_guards:
        return
    start = ctypes.addressof(_u8.from_buffer(memory))
    for page in (_u64 * run.n_guards).from_buffer(memory, run.guards):
        if _libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(_PAGE), access):
            raise OSError(ctypes.get_errno(), "mprotect of a guard page")


def _last_line(error):
    """What the report says of an exception: its last line, and where it came from."""
    text = traceback.format_exception_only(type(error), error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    here = [f for f in frames if f.filename != __file__] or frames
    return f"{text} ({os.path.basename(here[-1].filename)}:{here[-1].lineno})"


def _serve(run, memory):
    function, _, device = _entries[run.entry]
    try:
        _protect(memory, run, 0)
        try:
            call = Call(run, memory, device)
            function(call)
            call.finish()
        finally:
            _protect(memory, run, mmap.PROT_READ | mmap.PROT_WRITE)
        run.status = OK
    except Declined as why:
        _put(run, "message", str(why))
        run.status = DECLINED
    except Exception as error:  # whatever the function does is a result
        _put(run, "message", " ".join(_last_line(error).split()))
        run.status = ERROR


def _batch(memory, header):
    ended = OK
    runs = (_Run * header.n_runs).from_buffer(memory, header.runs)
    for i, run in enumerate(runs):
        header.started = i + 1
        if not (run.follows and ended != OK):
            _serve(run, memory)
            ended = run.status
        header.finished = i + 1
        if ended == ERROR:
            break


def main(name=None):
    """Serves the harness until it hangs up. Started by hand, says what the file offers."""
    try:
        served = os.fstat(_SOCKET) and os.fstat(_MEMORY).st_size >= ctypes.sizeof(_Header)
    except OSError:
        served = False
    if not served:
        for _, claim, _ in _entries:
            print(f"{claim.name.decode()}: {OPERATIONS[claim.operation - 1]}")
        print(f"certify with: assay certify {sys.argv[0]}")
        return
    memory = _map()
    header = _Header.from_buffer(memory)
    if (header.magic, header.version) != (_MAGIC, _VERSION):
        _put(header, "message", f"assay_attach.py speaks version {_VERSION} of the protocol and "
             f"assay version {header.version}; take the file from the same release")
        _send(b"x")
        return
    if not _entries or len(_entries) > header.most_claims:
        _put(header, "message", f"the file declares {len(_entries)} entries; "
             f"1 to {header.most_claims} are possible")
        _send(b"x")
        return
    _put(header, "name", name or os.path.basename(sys.argv[0]))
    for i, (_, claim, _) in enumerate(_entries):
        room = min(header.claim_size, ctypes.sizeof(_Claim))
        at = header.claims + i * header.claim_size
        memory[at:at + room] = bytes(claim)[:room]
    header.n_claims = len(_entries)
    _send(b"r")
    while os.read(_SOCKET, 1) == b"g":
        if header.bytes != len(memory):
            memory = _map(header.bytes)
            header = _Header.from_buffer(memory)
        _batch(memory, header)
        _send(b"d")
