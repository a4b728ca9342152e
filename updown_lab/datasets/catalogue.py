"""Where the field's data lies, how large it is, and what one may do with it: facts only, no code that fetches."""

from dataclasses import dataclass

from updown_lab.errors import ConfigError

_COCO, _GENOME = "http://images.cocodataset.org/", "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset/"
_VQA = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa/"
_LISTS = "https://raw.githubusercontent.com/peteanderson80/bottom-up-attention/master/data/genome/1600-400-20/"
_HUB = "https://huggingface.co/unc-nlp/frcnn-vg-finetuned/resolve/main/"
_MAVEN = "https://repo1.maven.org/maven2/edu/stanford/nlp/stanford-corenlp/3.6.0/"
_TORCH = "https://download.pytorch.org/models/"
_FLICKR, _CC_BY = "photos: each photographer's on Flickr", "CC BY 4.0"
MB, GB = 10**6, 10**9


@dataclass(frozen=True)
class Remote:
    """One file on somebody's server.

    Attributes:
        url:      where it is; the last part is its name here.
        size:     of the file in bytes, about.
        unpacked: of its contents in bytes, about; 0 if it is no archive.
        checksum: "sha256:…" or "md5:…", whole or the first digits, as its publisher states it; "" if nobody does. Then
                  the first download is trusted and remembered in checksums.json.
    """

    url: str
    size: int
    unpacked: int = 0
    checksum: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Entry:
    """What people ask for by one name.

    Attributes:
        folder:  under the data folder.
        licence: of the contents.
        purpose: what it is for, in a few words.
        files:   to fetch.
    """

    folder: str
    licence: str
    purpose: str
    files: tuple[Remote, ...]

    @property
    def needed(self) -> int:
        """Bytes on the disk while it is fetched and unpacked, about."""
        return sum(file.unpacked or file.size for file in self.files) + max(file.size for file in self.files)


CATALOGUE = {
    "coco-images": Entry("coco", _FLICKR, "photos for captions and VQA", (
        Remote(_COCO + "zips/train2014.zip", 13_500 * MB, 13_600 * MB),
        Remote(_COCO + "zips/val2014.zip", 6_650 * MB, 6_700 * MB))),
    "coco-test-images": Entry("coco", _FLICKR, "photos of the test servers", (
        Remote(_COCO + "zips/test2015.zip", 13_300 * MB, 13_400 * MB),)),
    "coco-annotations": Entry("coco", _CC_BY, "captions and boxes", (
        Remote(_COCO + "annotations/annotations_trainval2014.zip", 253 * MB, 1_100 * MB),)),
    "karpathy": Entry("coco", "not stated", "the captions' usual split", (
        Remote("https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip", 37 * MB, 250 * MB),)),
    "visual-genome-images": Entry("visual_genome", _FLICKR, "photos for the detector", (
        Remote("https://cs.stanford.edu/people/rak248/VG_100K_2/images.zip", 9_800 * MB, 9_900 * MB),
        Remote("https://cs.stanford.edu/people/rak248/VG_100K_2/images2.zip", 5_500 * MB, 5_600 * MB))),
    "visual-genome": Entry("visual_genome", _CC_BY, "objects, attributes, questions", (
        Remote(_GENOME + "image_data.json.zip", 2 * MB, 18 * MB),
        Remote(_GENOME + "objects.json.zip", 60 * MB, 420 * MB),
        Remote(_GENOME + "attributes.json.zip", 70 * MB, 470 * MB),
        Remote(_GENOME + "question_answers.json.zip", 140 * MB, 810 * MB))),
    "genome-aliases": Entry("visual_genome", _CC_BY, "synonyms, for lists of classes from counts", (
        Remote(_GENOME + "object_alias.txt", 60_166, 0, "sha256:0c8e059f"),)),
    "genome-vocabulary": Entry("vg_vocab", "MIT", "the authors' 1600 classes, 400 attributes", (
        Remote(_LISTS + "objects_vocab.txt", 13_000, 0, "md5:b0fe0368"),
        Remote(_LISTS + "attributes_vocab.txt", 3_000, 0, "md5:ed5db248"))),
    "vqa2": Entry("vqa2", _CC_BY, "questions and answers", tuple(
        Remote(f"{_VQA}v2_{kind}_{part}_mscoco.zip", size * MB, unpacked * MB) for kind, part, size, unpacked in (
            ("Questions", "Train", 7, 42), ("Questions", "Val", 4, 21), ("Questions", "Test", 8, 42),
            ("Annotations", "Train", 22, 380), ("Annotations", "Val", 11, 185),
            ("Complementary_Pairs", "Train", 2, 5), ("Complementary_Pairs", "Val", 1, 3)))),
    "glove": Entry("glove", "PDDL 1.0", "word vectors for questions and answers", (
        Remote("https://nlp.stanford.edu/data/glove.6B.zip", 862 * MB, 2_200 * MB),)),
    "detector-weights": Entry("weights/frcnn-vg-finetuned", "Apache-2.0", "the published Visual Genome detector", (
        Remote(_HUB + "pytorch_model.bin", 263 * MB), Remote(_HUB + "config.yaml", 3_000))),
    "resnet101": Entry("weights", "BSD-3", "ImageNet weights of torchvision", (
        Remote(_TORCH + "resnet101-63fe2227.pth", 179 * MB, 0, "sha256:63fe2227"),)),
    "coco-detector": Entry("weights", "BSD-3", "torchvision's COCO detector", (
        Remote(_TORCH + "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 175 * MB, 0, "sha256:dd69338a"),)),
    "spice": Entry("spice", "GPL-3.0", "Stanford CoreNLP 3.6.0, which SPICE reads captions with", (
        Remote(_MAVEN + "stanford-corenlp-3.6.0.jar", 8 * MB),
        Remote(_MAVEN + "stanford-corenlp-3.6.0-models.jar", 370 * MB))),
}  # fmt: skip


def find_entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        ConfigError: no such entry; the message lists all.

    >>> find_entry("karpathy").files[0].name
    'caption_datasets.zip'
    """
    if name not in CATALOGUE:
        raise ConfigError(f"nothing called {name!r} to download; known: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def in_words(size: int) -> str:
    """Bytes as people say them.

    >>> in_words(862_000_000), in_words(13_500_000_000), in_words(2_000)
    ('862 MB', '13.5 GB', '2 kB')
    """
    if size >= GB:
        return f"{size / GB:.1f} GB"
    return f"{size / MB:.0f} MB" if size >= MB else f"{max(1, round(size / 1000))} kB"
