"""The published tables, and ours beside them.

Anderson et al., CVPR 2018, Tables 1, 2 and 4; Teney et al., CVPR 2018, Table 1. A row says where its figures were read:
"README" is a project's own page; "remembered" ones were written down from memory of the paper: check them before
you quote them.
"""

import pandas as pd

TABLE_1 = ("Anderson et al. 2018, Table 1: COCO Karpathy test, one model, beam 5",
           ("features", "objective", "BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "source"),
           (("ResNet", "cross-entropy", 74.5, 33.4, 26.1, 54.4, 105.4, 19.2, "remembered"),
            ("Up-Down", "cross-entropy", 77.2, 36.2, 27.0, 56.4, 113.5, 20.3, "README"),
            ("ResNet", "scst", 76.6, 34.0, 26.5, 54.9, 111.1, 20.2, "remembered"),
            ("Up-Down", "scst", 79.8, 36.3, 27.7, 56.9, 120.1, 21.4, "README")))  # fmt: skip
TABLE_2 = ("Anderson et al. 2018, Table 2: parts of SPICE on COCO Karpathy test",
           ("features", "objective", "SPICE", "objects", "attributes", "relations", "colour", "count", "size",
            "source"),
           (("ResNet", "cross-entropy", 19.2, 35.4, 8.6, 5.3, 12.2, 4.1, 3.9, "remembered"),
            ("Up-Down", "cross-entropy", 20.3, 37.1, 9.2, 5.8, 12.7, 6.5, 4.5, "remembered"),
            ("ResNet", "scst", 20.2, 37.0, 9.2, 6.1, 10.6, 12.0, 4.3, "remembered"),
            ("Up-Down", "scst", 21.4, 39.1, 10.0, 6.5, 11.4, 18.4, 3.2, "remembered")))  # fmt: skip
TABLE_4 = ("Anderson et al. 2018, Table 4: VQA v2 validation, one model",
           ("features", "yes/no", "number", "other", "overall", "source"),
           (("ResNet 1 x 1", 76.0, 36.5, 46.8, 56.3, "remembered"),
            ("ResNet 14 x 14", 76.6, 36.2, 49.5, 57.9, "remembered"),
            ("ResNet 7 x 7", 77.6, 37.7, 51.5, 59.4, "remembered"),
            ("Up-Down", 80.3, 42.8, 55.8, 63.2, "remembered")))  # fmt: skip
TENEY_1 = ("Teney et al. 2018, Table 1: VQA v2 validation, one thing left out at a time",
           ("model", "overall", "source"),
           (("reference", 63.15, "README"), ("without Visual Genome questions", 62.48, "README"),
            ("36 regions", 62.82, "README"), ("two streams from chance", 62.28, "README"),
            ("ReLU instead of gated tanh", 61.63, "README")))  # fmt: skip
TABLES = {"table1": TABLE_1, "table2": TABLE_2, "table4": TABLE_4, "teney": TENEY_1}


def published(name: str) -> pd.DataFrame:
    """One published table; ``attrs["title"]`` says which.

    Args:
        name: "table1", "table2", "table4" or "teney".

    Raises:
        ValueError: another name.

    >>> table = published("table1").set_index(["features", "objective"])
    >>> float(table.loc[("Up-Down", "scst"), "CIDEr"])
    120.1
    """
    if name not in TABLES:
        raise ValueError(f"no published table {name!r}; known: {', '.join(TABLES)}")
    title, columns, rows = TABLES[name]
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
    where = "COCO (photos)" if name in ("table1", "table2") else "VQA v2 (photos)"
    mine = ours.reindex(columns=[*keys, *figures]).assign(source="this run")
    table = pd.concat([theirs.assign(data=where), mine.assign(data=data)], ignore_index=True)
    table = table.set_index(["data", *keys])
    table.attrs["title"] = f"{theirs.attrs['title']}; and ours on {data}: not to be compared across data"
    return table
