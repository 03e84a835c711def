"""Writes four small real data sets as CSV files that built-in algorithms read: label first, no header.

    python examples/make_data.py [FOLDER]       (default: examples/data)

They are carried inside the scikit-learn package, so no download is needed. Each becomes
NAME/train.csv and NAME/test.csv: rows shuffled once with a fixed seed, the last quarter held
out. The same package version gives the same bytes; PROVENANCE.md records digests and licences.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets

SEED = 20240501
HELD_OUT = 0.25

UCI = "UCI Machine Learning Repository, CC BY 4.0"
SETS = {
    "breast-cancer": (datasets.load_breast_cancer, "binary: 1 benign, 0 malignant",
                      f"Breast Cancer Wisconsin (Diagnostic): Wolberg, Mangasarian, Street, Street; {UCI}"),
    "digits": (datasets.load_digits, "10 classes: the digit",
               f"Optical Recognition of Handwritten Digits (test part): Alpaydin, Kaynak; {UCI}"),
    "wine": (datasets.load_wine, "3 classes: the cultivar", f"Wine: Aeberhard, Forina; {UCI}"),
    "diabetes": (lambda: datasets.load_diabetes(scaled=False), "number: progression after one year",
                 "Efron, Hastie, Johnstone, Tibshirani: Least Angle Regression (2004), published by the "
                 "authors at www4.stat.ncsu.edu/~boos/var.select/diabetes.html without a stated licence; "
                 "distributed with scikit-learn (BSD-3-Clause)"),
}


def number(value):
    """The shortest text that reads back as the same number; whole numbers without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def csv(rows):
    return "".join(",".join(map(number, row)) + "\n" for row in rows)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "data")
    lines = ["# Where these files come from", "",
             f"Written by `examples/make_data.py` from scikit-learn {sklearn.__version__}. Label first, no header.",
             f"Rows are shuffled with `numpy.random.RandomState({SEED})`; the last {HELD_OUT:.0%} are `test.csv`.", "",
             "| file | rows | columns | label | source and licence | sha256 |", "|---|---|---|---|---|---|"]
    for name, (load, label, source) in SETS.items():
        data = load()
        rows = np.column_stack([data.target, data.data])
        rows = rows[np.random.RandomState(SEED).permutation(len(rows))]
        split = len(rows) - round(len(rows) * HELD_OUT)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for part, piece in (("train", rows[:split]), ("test", rows[split:])):
            text = csv(piece).encode()
            path = folder / name / f"{part}.csv"
            path.write_bytes(text)
            lines.append(f"| {name}/{part}.csv | {len(piece)} | {piece.shape[1]} | {label} | {source} "
                         f"| `{hashlib.sha256(text).hexdigest()}` |")
        print(f"{folder}/{name}: {split} rows to train on, {len(rows) - split} held out, {rows.shape[1] - 1} features")
    (folder / "PROVENANCE.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
