"""One door over pycocoevalcap. ``fake_java`` stands in for Java; tests marked java run the real one."""

import gc
import math
import sys

import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from updown_lab.metrics import captions
from updown_lab.metrics.captions import ptb_tokenise, score_captions
from updown_lab.metrics.java import JavaFailed, find_java

needs_java = pytest.mark.skipif(find_java() is None, reason="needs Java: pip install 'updown_lab[java]'")

CANDIDATES = {7: "A man rides a horse.", 3: "a cat on a mat", 5: ""}
REFERENCES = {
    3: ["A cat sitting on a mat", "The cat's on (the) mat!"],
    5: ["two dogs play", "dogs chase a ball"],
    7: ["a man riding a horse", "A person rides a brown horse."],
    9: ["an image nobody captioned"],
}

FAKE_JAVA = """#!{python}
import json, os, sys
if sys.argv[1:] == ["-version"]:
    sys.exit(0)
if "edu.stanford.nlp.process.PTBTokenizer" in sys.argv:
    lines = open(sys.argv[-1]).read().lower().splitlines()
    print(*lines[int(os.environ.get("FAKE_LOSES", 0)):], sep="\\n")
elif "edu.anu.spice.SpiceScorer" in sys.argv:
    items = json.load(open(sys.argv[sys.argv.index("edu.anu.spice.SpiceScorer") + 1]))
    scores = [{{"image_id": i["image_id"], "scores": {{"All": {{"f": i["image_id"] / 10}}}}}} for i in items]
    json.dump(scores[::-1], open(sys.argv[sys.argv.index("-out") + 1], "w"))
"""


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(captions, "find_java", lambda: None)


@pytest.fixture
def fake_java(tmp_path, monkeypatch):
    program = tmp_path / "home" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE_JAVA.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("no_java")
def test_without_java_the_rest_still_scores_and_says_what_is_missing():
    scores = score_captions(CANDIDATES, REFERENCES)

    assert list(scores.corpus) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE"]
    assert list(scores.per_image.columns) == list(scores.corpus)
    assert scores.per_image.index.tolist() == [7, 3, 5] and scores.per_image.index.name == "image_id"
    assert [name for name, value in scores.corpus.items() if math.isnan(value)] == ["METEOR", "SPICE"]
    assert scores.per_image[["METEOR", "SPICE"]].isna().all(axis=None)
    beginnings = ["1 images have references but no caption", "CIDEr on few images (3", "tokenizer: approximate"]
    assert [note[: len(start)] for note, start in zip(scores.notes, beginnings)] == beginnings
    assert [note.split(":")[0] for note in scores.notes[3:]] == ["METEOR", "SPICE"]
    assert all("\n" not in note and "pip install" in note for note in scores.notes[2:])


@pytest.mark.usefixtures("no_java")
def test_numbers_are_those_of_pycocoevalcap_on_the_same_words():
    words = {7: ["a man rides a horse"], 3: ["a cat on a mat"], 5: [""]}
    people = {
        7: ["a man riding a horse", "a person rides a brown horse"],
        3: ["a cat sitting on a mat", "the cat's on the mat"],
        5: ["two dogs play", "dogs chase a ball"],
    }
    bleu, bleu_each = Bleu(4).compute_score(people, words, verbose=0)
    rouge, rouge_each = Rouge().compute_score(people, words)
    cider, cider_each = Cider().compute_score(people, words)

    scores = score_captions(CANDIDATES, REFERENCES, metrics=["BLEU", "ROUGE-L", "CIDEr"])

    assert list(scores.corpus.values()) == [*bleu, rouge, cider]
    assert scores.per_image.T.values.tolist() == [*bleu_each, list(rouge_each), list(cider_each)]


@pytest.mark.usefixtures("no_java")
def test_fifty_images_need_no_warning():
    many = {image: f"cat {image}" for image in range(50)}

    assert score_captions(many, {image: [text] for image, text in many.items()}, ["BLEU"]).notes == [
        score_captions({1: "a"}, {1: ["a"]}, ["BLEU"]).notes[0]  # only the note on the tokeniser
    ]
    assert len(score_captions(many, {image: [text] for image, text in many.items()}, ["CIDEr"]).notes) == 1


@pytest.mark.usefixtures("fake_java")
def test_spice_scores_return_to_their_own_image(tmp_path, monkeypatch):
    """pycocoevalcap hands them out in SPICE's order, which has put scores on the wrong image before."""
    for name in captions._SPICE_JARS:
        (tmp_path / name).touch()
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path))

    scores = score_captions(CANDIDATES, REFERENCES, metrics=["SPICE"])

    assert scores.per_image["SPICE"].to_dict() == {7: 0.7, 3: 0.3, 5: 0.5}
    assert scores.corpus["SPICE"] == pytest.approx(0.5)


@pytest.mark.usefixtures("fake_java")
def test_spice_without_its_jars_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(captions, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr("pycocoevalcap.spice.get_stanford_models.urlretrieve", lambda *_: pytest.fail("a download"))

    scores = score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["SPICE"])

    assert math.isnan(scores.corpus["SPICE"])
    assert "UPDOWN_SPICE_DIR" in scores.notes[-1]


@pytest.mark.usefixtures("fake_java")
def test_a_tokeniser_that_loses_a_line_is_caught(monkeypatch):
    monkeypatch.setenv("FAKE_LOSES", "1")

    with pytest.raises(JavaFailed, match="1 lines for 2 captions"):
        ptb_tokenise({1: ["a cat"], 2: ["a dog"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}), "empty"),
        (({1: "a"}, {2: ["a"]}), "image 1"),
        (({1: "a"}, {1: [" "]}), "image 1"),
        (({1: "a"}, {1: ["a"]}, ["CIDER"]), "choose a list from BLEU"),
        (({1: "a"}, {1: ["a"]}, "CIDEr"), "choose a list from BLEU"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        score_captions(*arguments)


@needs_java
@pytest.mark.java
def test_the_tokeniser_agrees_with_pycocoevalcap_and_leaves_its_folder_alone():
    folder = captions._PACKAGE / "tokenizer"
    before = folder.stat().st_mtime_ns

    got = ptb_tokenise(REFERENCES)

    assert folder.stat().st_mtime_ns == before
    records = {image: [{"caption": text} for text in texts] for image, texts in REFERENCES.items()}
    assert got == PTBTokenizer().tokenize(records)


@needs_java
@pytest.mark.java
def test_odd_line_breaks_and_empty_captions_stay_in_their_place():
    odd = {1: ["a\rcat", ""], 2: ["two\u2028dogs\n", "caf\u00e9 ||| x"], 3: [""]}

    assert ptb_tokenise(odd) == {1: ["a cat", ""], 2: ["two dogs", "caf\u00e9 | | | x"], 3: [""]}


@needs_java
@pytest.mark.java
def test_meteor_takes_an_empty_caption_and_bars():
    candidates = {1: "", 2: "a red cat", 3: "a ||| small dog"}

    scores = score_captions(candidates, {i: ["a red cat", "a ||| small dog"] for i in candidates}, metrics=["METEOR"])

    assert scores.per_image["METEOR"].tolist() == [0.0, 1.0, 1.0]  # a caption that equals a reference has no flaw
    assert 0 < scores.corpus["METEOR"] < 1


@needs_java
@pytest.mark.java
def test_the_meteor_process_ends_when_it_breaks(monkeypatch):
    started = []

    def break_down(self, references, candidates):
        started.append(self.meteor_p)
        self.lock.acquire()  # pycocoevalcap leaves it locked, and waits for it when it is collected
        raise ValueError("could not convert string to float")

    monkeypatch.setattr(Meteor, "compute_score", break_down)

    with pytest.raises(JavaFailed, match="METEOR broke"):
        score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["METEOR"])
    gc.collect()
    assert started[0].wait(timeout=10) != 0
