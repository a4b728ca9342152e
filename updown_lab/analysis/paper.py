"""The published tables, and ours beside them.

Anderson et al., CVPR 2018, Tables 1 to 5; Teney et al., CVPR 2018, Table 1. A row says where its figures were read:
"README" is a project's own page (in brackets: which figures, if not all); "remembered" ones were written down from
memory of the paper: check them before you quote them.
"""

import pandas as pd

NAN = float("nan")  # the paper prints no figure
COCO, VQA = "COCO (photos)", "VQA v2 (photos)"
TABLE_1 = ("Anderson et al. 2018, Table 1: COCO Karpathy test, one model, beam 5", COCO,
           ("features", "objective", "BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "source"),
           (("SCST:Att2in", "cross-entropy", NAN, 31.3, 26.0, 54.3, 101.3, NAN, "remembered"),
            ("SCST:Att2all", "cross-entropy", NAN, 30.0, 25.9, 53.4, 99.4, NAN, "remembered"),
            ("ResNet", "cross-entropy", 74.5, 33.4, 26.1, 54.4, 105.4, 19.2, "remembered"),
            ("Up-Down", "cross-entropy", 77.2, 36.2, 27.0, 56.4, 113.5, 20.3, "README"),
            ("SCST:Att2in", "scst", NAN, 33.3, 26.3, 55.3, 111.4, NAN, "remembered"),
            ("SCST:Att2all", "scst", NAN, 34.2, 26.7, 55.7, 114.0, NAN, "remembered"),
            ("ResNet", "scst", 76.6, 34.0, 26.5, 54.9, 111.1, 20.2, "remembered"),
            ("Up-Down", "scst", 79.8, 36.3, 27.7, 56.9, 120.1, 21.4, "README")))  # fmt: skip
TABLE_2 = ("Anderson et al. 2018, Table 2: parts of SPICE on COCO Karpathy test", COCO,
           ("features", "objective", "SPICE", "objects", "attributes", "relations", "colour", "count", "size",
            "source"),
           (("ResNet", "cross-entropy", 19.2, 35.4, 8.6, 5.3, 12.2, 4.1, 3.9, "remembered"),
            ("Up-Down", "cross-entropy", 20.3, 37.1, 9.2, 5.8, 12.7, 6.5, 4.5, "remembered"),
            ("ResNet", "scst", 20.2, 37.0, 9.2, 6.1, 10.6, 12.0, 4.3, "remembered"),
            ("Up-Down", "scst", 21.4, 39.1, 10.0, 6.5, 11.4, 18.4, 3.2, "remembered")))  # fmt: skip
TABLE_3 = ("Anderson et al. 2018, Table 3: COCO test server, four models together, after SCST", COCO,
           ("references", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "source"),
           (("5 an image", 80.2, 64.1, 49.1, 36.9, 27.6, 57.1, 117.9, 21.5, "README (BLEU-4, CIDEr, SPICE)"),
            ("40 an image", 95.2, 88.8, 79.4, 68.5, 36.7, 72.4, 120.5, 71.5, "remembered")))  # fmt: skip
TABLE_4 = ("Anderson et al. 2018, Table 4: VQA v2 validation, one model", VQA,
           ("features", "yes/no", "number", "other", "overall", "source"),
           (("ResNet 1 x 1", 76.0, 36.5, 46.8, 56.3, "remembered"),
            ("ResNet 14 x 14", 76.6, 36.2, 49.5, 57.9, "remembered"),
            ("ResNet 7 x 7", 77.6, 37.7, 51.5, 59.4, "remembered"),
            ("Up-Down", 80.3, 42.8, 55.8, 63.2, "remembered")))  # fmt: skip
TABLE_5 = ("Anderson et al. 2018, Table 5: VQA v2 test-standard, Up-Down with 30 models together", VQA,
           ("model", "yes/no", "number", "other", "overall", "source"),
           (("Prior", 61.20, 0.36, 1.17, 25.98, "remembered"),
            ("Language-only", 67.01, 31.55, 27.37, 44.26, "remembered"),
            ("d-LSTM+n-I", 73.46, 35.18, 41.83, 54.22, "remembered"),
            ("MCB", 78.82, 38.28, 53.36, 62.27, "remembered"),
            ("UPMC-LIP6", 82.07, 41.06, 57.12, 65.71, "remembered"),
            ("Athena", 82.50, 44.19, 59.97, 67.59, "remembered"),
            ("HDU-USYD-UNCC", 84.50, 45.39, 59.01, 68.09, "remembered"),
            ("Up-Down", 86.60, 48.64, 61.15, 70.34, "README (overall)")))  # fmt: skip
TENEY_1 = ("Teney et al. 2018, Table 1: VQA v2 validation, one thing left out at a time", VQA,
           ("model", "overall", "source"),
           (("reference", 63.15, "README"), ("without Visual Genome questions", 62.48, "README"),
            ("36 regions", 62.82, "README"), ("two streams from chance", 62.28, "README"),
            ("ReLU instead of gated tanh", 61.63, "README")))  # fmt: skip
TABLES = {"table1": TABLE_1, "table2": TABLE_2, "table3": TABLE_3, "table4": TABLE_4, "table5": TABLE_5,
          "teney": TENEY_1}  # fmt: skip


def published(name: str) -> pd.DataFrame:
    """One published table; ``attrs["title"]`` says which.

    Args:
        name: "table1" to "table5", or "teney".

    Raises:
        ValueError: another name.

    >>> table = published("table1").set_index(["features", "objective"])
    >>> float(table.loc[("Up-Down", "scst"), "CIDEr"])
    120.1
    """
    if name not in TABLES:
        raise ValueError(f"no published table {name!r}; known: {', '.join(TABLES)}")
    title, _, columns, rows = TABLES[name]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["title"] = title
    return table


def beside(name: str, ours: pd.DataFrame, data: str) -> pd.DataFrame:
    """The published rows and ours in one table, each with the data it was measured on.

    Captions of a drawn world and captions of photos share the name of a metric and nothing else. So ``data`` is a part
    of the index, and nothing here subtracts one from the other.

    Args:
        name: as for ``published``.
        ours: figures with the same columns, as far as we have them; others are left out.
        data: what ours were measured on, for instance "Picturebook (drawn)".

    Raises:
        ValueError: an unknown table; ours has none of its figures; or ``data`` does not say anything.

    >>> ours = pd.DataFrame({"features": ["regions"], "overall": [68.8]})
    >>> beside("table4", ours, "Picturebook (drawn)")["overall"].tail(2).to_dict()
    {('VQA v2 (photos)', 'Up-Down'): 63.2, ('Picturebook (drawn)', 'regions'): 68.8}
    """
    theirs = published(name)
    figures = [column for column in theirs.columns if pd.api.types.is_numeric_dtype(theirs[column])]
    if not set(figures) & set(ours.columns):
        raise ValueError(
            f"{name} holds {', '.join(figures)}; ours has none of them: {', '.join(map(str, ours.columns))}"
        )
    if not data.strip():
        raise ValueError('say what ours was measured on, for instance data="Picturebook (drawn)"')
    keys = [column for column in theirs.columns if column not in (*figures, "source")]
    mine = ours.reindex(columns=[*keys, *figures]).assign(source="this run")
    table = pd.concat([theirs.assign(data=TABLES[name][1]), mine.assign(data=data)], ignore_index=True)
    table = table.set_index(["data", *keys])
    table.attrs["title"] = f"{theirs.attrs['title']}; and ours on {data}: not to be compared across data"
    return table
