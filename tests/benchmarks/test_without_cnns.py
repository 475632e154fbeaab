"""The benchmark without CNNs scores all systems on the same folds."""

from benchmarks import alternatives, stack, without_cnns


def test_every_system_has_a_row_with_its_difference_to_the_stack(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(alternatives.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        without_cnns,
        "ALTERNATIVES",
        {"logistic regression": without_cnns.ALTERNATIVES["logistic regression"]},
    )
    stack.main(None, tmp_path, ["wine"], jobs=1, autogluon_seconds=1)
    skipped, *lines = capsys.readouterr().out.splitlines()
    assert skipped == "AutoGluon is not installed: skipped"
    assert lines[1] == "without CNNs: wine, 178 samples, 13 features, 3 labels"
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in lines[4:]
        if line.startswith("|")
    }
    members = [f"member:{name}" for name in ("lightgbm", "xgboost", "pooled", "linear", "forest")]
    assert list(rows) == [*members, "stack", "logistic regression"]
    assert lines[-1].startswith("stack: ") and lines[-1].count(" in ") == 3
    f1, ap = float(rows["stack"][0]), float(rows["stack"][1])
    assert 0.9 < f1 <= 1 and 0.95 < ap <= 1
    logistic = rows["logistic regression"]
    # All are rounded to three digits.
    assert abs(float(logistic[4].split()[0]) - (float(logistic[1]) - ap)) <= 0.0015
