"""Compute devices of torch, and memory management."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from functools import lru_cache

import torch

from defocus_backend.errors import DeviceError, InputError
from defocus_backend.threads import survive_fork

survive_fork()


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device for ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Raises
    ------
    InputError
        If the name is not that of a device.
    DeviceError
        If the machine does not have this device.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError("device", repr(device)[:60], "auto, cpu, cuda, cuda:N or mps") from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (wanted.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if wanted.type not in present:
        raise InputError("device", repr(device), "auto, cpu, cuda, cuda:N or mps")
    if not present[wanted.type]:
        raise DeviceError(f"device: {device} is not present on this machine; use cpu or auto")
    return wanted


@contextlib.contextmanager
def device_errors(advice: str) -> Iterator[None]:
    """Turn torch's out-of-memory errors into a `DeviceError` that ends with the given advice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"device: out of memory; {advice}") from error
    except RuntimeError as error:
        if any(words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")):
            raise DeviceError(f"device: out of memory; {advice}") from error
        raise


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Make glibc keep freed memory blocks instead of returning them to the kernel.

    Otherwise, large activations are unmapped and mapped again at every layer, which was measured to take up to twenty
    times as long as the arithmetic. The setting applies to the whole process, so only programs call it (the command
    line, training), and never the library on import.

    Returns
    -------
    bool
        Whether the allocator accepted the setting; False if it is not glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    limit = 2**31 - 1
    # Older versions do not accept a threshold above half of a thread's heap.
    mapped = mallopt(mmap_threshold, limit) or mallopt(mmap_threshold, 2**25)
    return bool(mallopt(trim_threshold, limit)) and bool(mapped)


def give_back_freed_memory() -> None:
    """Make glibc return freed memory blocks to the kernel now; no effect with other allocators.

    Useful between two parts of a job with different block sizes: the blocks freed by the first part do not fit the
    second, and the process would grow with every part.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Number format for ``"auto"``, ``"float32"`` or ``"bfloat16"`` on a device.

    Raises
    ------
    DeviceError
        If bfloat16 is requested on a device that would emulate it, which is slower than float32.
    """
    if precision == "float32":
        return torch.float32
    if computes_bfloat16(device):
        return torch.bfloat16
    if precision == "bfloat16":
        raise DeviceError(f"precision: {device} does not support bfloat16; use float32 or auto")
    return torch.float32


def computes_bfloat16(device: torch.device | str) -> bool:
    """Whether a device supports bfloat16 without emulation, so that networks run faster than in float32.

    True for CUDA with compute capability 8 or higher, and for processors with AMX or AVX512-BF16.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check() for check in checks if check is not None)
