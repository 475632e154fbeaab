"""Without the extra `cnn`, modules that need it are skipped, tests and doctests alike."""

import re
import sys
from importlib.util import find_spec

import pytest

_MISSING = re.compile(
    r"No module named '(torch|torchvision|timm|safetensors|lightning|tensorboard)\b"
    r"|pip install 'hpastack\[cnn\]'"
)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Turn the error of such a module into a skip."""
    report = yield
    if report.failed and find_spec("torch") is None and _MISSING.search(str(report.longrepr)):
        # Half imported, it would be found by the next module that needs it.
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) == str(collector.path):
                del sys.modules[name]
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, "Skipped: needs the extra cnn")
    return report
