"""Where the torch code runs, and how it treats memory there."""

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
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"`` into a device that is present.

    Raises
    ------
    InputError
        If the name is not a device's.
    DeviceError
        If the device is absent on this machine.
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
    """Turn torch's out-of-memory errors into a `DeviceError` that ends with the advice given."""
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
    """Ask glibc to keep freed blocks instead of handing them back to the kernel.

    Large activations are otherwise unmapped and faulted in again at every layer, which was measured
    to cost up to twenty times the arithmetic. It holds for the whole process, so only programs that
    own their process call it (the command line, training), never the library on import.

    Returns
    -------
    bool
        Whether the allocator took the setting; False where it is not glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    limit = 2**31 - 1
    # Older versions take no threshold above half of a thread's heap.
    mapped = mallopt(mmap_threshold, limit) or mallopt(mmap_threshold, 2**25)
    return bool(mallopt(trim_threshold, limit)) and bool(mapped)


def give_back_freed_memory() -> None:
    """Ask glibc to hand freed blocks back to the kernel now, where the allocator is glibc.

    Between two parts of a job whose blocks differ in size, what the first part freed does not fit the second,
    and the process would grow with every part.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """The number format that ``"auto"``, ``"float32"`` or ``"bfloat16"`` means on a device.

    Raises
    ------
    DeviceError
        If bfloat16 is asked for where it would be emulated, which is slower than float32.
    """
    if precision == "float32":
        return torch.float32
    if computes_bfloat16(device):
        return torch.bfloat16
    if precision == "bfloat16":
        raise DeviceError(f"precision: {device} has no units for bfloat16; use float32 or auto")
    return torch.float32


def computes_bfloat16(device: torch.device | str) -> bool:
    """Whether networks run faster on a device in bfloat16 than in float32, without emulating it.

    True on CUDA from compute capability 8 and on processors with matrix units for it (AMX or AVX512-BF16).
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check() for check in checks if check is not None)
