"""Out-of-fold scores of each CNN, their mean and the stack on real predictions.

Seven out-of-fold label sets and one table of votes on the 31,072 training
fields, through the commands a user would type; thresholds are chosen out of
fold for all.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

CNNS = (
    "DenseNet121", "DenseNet169", "DenseNet201", "InceptionResNetV2", "InceptionV3", "ResNet18",
    "ResNet50",
)  # fmt: skip


def main(data: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def run(command, *arguments, show=False):
            words = [sys.executable, "-m", f"pipelines.{command}", *map(str, arguments)]
            done = subprocess.run(
                [*words, "--workspace", folder], capture_output=True, text=True, check=True
            )
            if show:
                print(done.stdout)

        run("prepare", "--labels", data / "labels" / "train.csv")
        run("cluster", "--no-images", "--pairs", data / "duplicates/omallo_train_duplicates.txt")
        made = ["--kind", "out_of_fold", "--folds", data / "cnn_oof" / "folds.csv"]
        for cnn in CNNS:
            run("ingest", data / "cnn_oof" / f"{cnn}.csv", "--name", cnn, *made)
        run(
            "ingest", data / "cnn_oof" / "ResNet50_2018_ordinal.npy", "--name", "ResNet50_2018",
            "--ids", data / "labels" / "train.csv", "--max", 5, *made,
        )  # fmt: skip
        # The fold plan of the predictions was made without the list of duplicates, and splits some.
        accepted = [word for cnn in (*CNNS, "ResNet50_2018") for word in ("--accept", cnn)]
        start = time.perf_counter()
        run("stack", "--no-submission", *accepted, show=True)
        print(f"real predictions: the stack took {time.perf_counter() - start:.0f} s")
