"""The progress bar: on stderr, only of long work, only where it is wanted."""

import time

import pytest

from hpastack.parallel import progress_bar

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    "seconds, show, is_shown", [(0, True, False), (1.1, True, True), (1.1, False, False)]
)
def test_a_bar_of_long_work_goes_to_stderr(capsys, seconds, show, is_shown):
    items = []
    for item in progress_bar([1, 2], what="counting", unit="field", show=show):
        time.sleep(seconds / 2)
        items.append(item)
    printed = capsys.readouterr()
    assert items == [1, 2] and printed.out == ""
    assert ("counting" in printed.err and "field" in printed.err) == is_shown
