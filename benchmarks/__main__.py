"""Run every benchmark and print its results, with the machine, the versions and the date."""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
from pathlib import Path

from benchmarks import (
    REAL_DATA,
    decoding,
    degraded,
    domain_weights,
    domains,
    duplicates,
    engine,
    extraction,
    feature_patterns,
    features,
    finetuning,
    folds,
    honesty,
    label_check,
    leakage,
    members,
    real_predictions,
    stack,
    stack_speed,
    stores,
    synthetic,
)
from hpastack.files import package_versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    print(f"date: {datetime.date.today()}")
    print(f"machine: {len(os.sched_getaffinity(0))} cores of {_processor()}")
    print(f"python {platform.python_version()}, {package_versions()}")
    synthetic.main()
    decoding.main()
    features.main(REAL_DATA if REAL_DATA.is_dir() else None)
    feature_patterns.main()
    duplicates.main()
    engine.main()
    extraction.main()
    stores.main()
    domains.main(REAL_DATA if REAL_DATA.is_dir() else None)
    if REAL_DATA.is_dir():
        folds.main(REAL_DATA)
        real_predictions.main(REAL_DATA)
        degraded.main(REAL_DATA)
        stack_speed.main(REAL_DATA)
        domain_weights.main(REAL_DATA)
    else:
        print("no real data beside the checkout: benchmarks that need them are skipped")
    with tempfile.TemporaryDirectory() as folder:
        stack.main(REAL_DATA if REAL_DATA.is_dir() else None, Path(folder))
    honesty.main()
    members.main()
    leakage.main()
    label_check.main(REAL_DATA if REAL_DATA.is_dir() else None)
    finetuning.main()


if __name__ == "__main__":
    main()
