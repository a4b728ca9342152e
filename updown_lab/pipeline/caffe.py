"""The original features: a bottom-up TSV of the authors' Caffe detector, into the store and onto the pictures."""

from pathlib import Path

from PIL import Image

from updown_lab.analysis.plots import draw_regions
from updown_lab.analysis.report import Report
from updown_lab.datasets.names import Names, read_names
from updown_lab.files import atomic_path, write_json
from updown_lab.pipeline.plans import CAFFE_FOLDER
from updown_lab.pipeline.stages import Work
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.tsv import Problem, read_bottom_up_tsv
from updown_lab.store.writer import FeatureWriter
from updown_lab.vision.images import load_image


def _names(data: str) -> Names:
    return read_names(*(Path(data, "vg_vocab", f"{name}_vocab.txt") for name in ("objects", "attributes")))


def import_caffe(work: Work) -> None:
    """Read the TSV into a feature store and draw its boxes with decoded names, where the photos are there too."""
    folder, names, problems = Path(work.config.data, CAFFE_FOLDER), _names(work.config.data), []
    writer = None
    for table in sorted(folder.glob("*.tsv")):
        for image_id, regions in read_bottom_up_tsv(table, problems):
            if writer is None:
                writer = FeatureWriter(work.folder / "store", regions.features.shape[1], "float32", "caffe")
            if image_id not in writer:
                writer.append(image_id, regions)
    with writer:
        writer.finish()
    write_json(work.folder / "problems.json", [str(problem) for problem in problems if isinstance(problem, Problem)])
    store = FeatureStore.open(work.folder / "store")
    for image_id in store.image_ids:
        photo = folder / "images" / f"{image_id}.jpg"
        if photo.exists():
            figure = draw_regions(load_image(photo), store[image_id], names.objects, names.attributes)
            with atomic_path(work.folder / "pictures" / f"{image_id}.png") as draft:
                figure.savefig(draft, format="png", dpi=110)


def show_caffe(page: Report, work: Work, most: int = 4) -> None:
    """Put some of the drawn photos into the report."""
    folder = work.need("caffe-features")
    store = FeatureStore.open(folder / "store")
    page.heading("The authors' own features")
    page.text(f"{len(store)} photos with the features of the original Caffe detector ({store.feature_dim} numbers a "
              "region), read from their TSV; boxes, objects and attributes are those stored in it.")  # fmt: skip
    for path in sorted((folder / "pictures").glob("*.png"))[:most]:
        with Image.open(path) as picture:
            page.figure(picture.convert("RGB"), path.stem, width=560)
