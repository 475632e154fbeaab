"""The memory of a process, for benchmarks that run in a separate one."""

from pathlib import Path


def peak_megabytes() -> float:
    """Return the peak memory of this process; ``getrusage`` would include that of its parent.

    NaN without ``/proc``.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = [int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")]
    return found[0] if found else float("nan")
