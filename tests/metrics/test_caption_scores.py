"""One door over pycocoevalcap. ``fake_java`` stands in for Java; tests marked java run the real one."""

import math
import sys

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor as Theirs
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from updown_lab.datasets.catalogue import CATALOGUE
from updown_lab.metrics import captions, spice
from updown_lab.metrics.captions import ptb_tokenise, score_captions
from updown_lab.metrics.java import JavaFailed, find_java, java_environment
from updown_lab.metrics.meteor import Meteor, meteor_started

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
    breaks = os.environ.get("FAKE_SPICE")
    if breaks == "exit":
        print("no", "memory", sep="\\n", file=sys.stderr)
        sys.exit(3)
    if breaks == "nothing":
        sys.exit(0)
    items = json.load(open(sys.argv[sys.argv.index("edu.anu.spice.SpiceScorer") + 1]))
    colour = {{7: 0.5, 3: 1.0, 5: None}}
    scores = [{{"image_id": i["image_id"], "scores": {{"All": {{"f": i["image_id"] / 10}},
                "Color": {{"f": colour.get(i["image_id"])}}}}}} for i in items]
    json.dump(scores[: 1 if breaks == "forgets" else None][::-1], open(sys.argv[sys.argv.index("-out") + 1], "w"))
elif "meteor-1.5.jar" in sys.argv:
    print("no paraphrases", file=sys.stderr)
    for line in sys.stdin:
        if "FAKE_STOPS" in os.environ:
            break
        print("1 2 3" if line.startswith("SCORE") else "NaN?", flush=True)
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

    assert list(scores.corpus.values()) == pytest.approx([*bleu, rouge, cider], abs=1e-12)
    each = [*bleu_each, list(rouge_each), list(cider_each)]
    np.testing.assert_allclose(scores.per_image.T, each, rtol=0, atol=1e-12)


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
    for name in spice._JARS:
        (tmp_path / name).touch()
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path))

    scores = score_captions(CANDIDATES, REFERENCES, metrics=["SPICE"])

    assert scores.per_image["SPICE"].to_dict() == {7: 0.7, 3: 0.3, 5: 0.5}
    assert scores.corpus["SPICE"] == pytest.approx(0.5)
    assert list(scores.corpus) == ["SPICE", *spice.PARTS.values()]
    colour = scores.per_image["SPICE colour"]
    assert (colour[7], colour[3]) == (0.5, 1.0) and math.isnan(colour[5])  # image 5 names no colour
    assert scores.corpus["SPICE colour"] == pytest.approx(0.75)
    assert math.isnan(scores.corpus["SPICE size"])


@pytest.mark.usefixtures("fake_java")
def test_spice_without_its_jars_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spice, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr("pycocoevalcap.spice.get_stanford_models.urlretrieve", lambda *_: pytest.fail("a download"))

    scores = score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["SPICE"])

    assert math.isnan(scores.corpus["SPICE"])
    assert "updown-lab download spice" in scores.notes[-1]


@pytest.mark.usefixtures("fake_java")
@pytest.mark.parametrize(("breaks", "reason"), [
    ("exit", "edu.anu.spice.SpiceScorer ended with code 3: no memory"),
    ("nothing", "SPICE wrote no scores (FileNotFoundError"),
    ("forgets", "SPICE left 1 images out, first: 3"),
])  # fmt: skip
def test_a_spice_that_breaks_costs_no_other_metric(breaks, reason, tmp_path, monkeypatch):
    for name in spice._JARS:
        (tmp_path / name).touch()
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path))
    monkeypatch.setenv("FAKE_SPICE", breaks)

    scores = score_captions({7: "a cat", 3: "a dog"}, {7: ["a cat"], 3: ["a dog"]}, ["BLEU", "METEOR", "SPICE"])

    assert scores.corpus["BLEU-1"] == pytest.approx(1) and math.isnan(scores.corpus["SPICE"])
    (note,) = [note for note in scores.notes if note.startswith("SPICE")]
    assert note.startswith(f"SPICE: NaN, {reason}") and "\n" not in note


@pytest.mark.usefixtures("fake_java")
def test_a_folder_named_for_spice_that_lacks_its_jars_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDOWN_SPICE_DIR", str(tmp_path / "empty"))

    (note,) = score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["SPICE"]).notes

    assert f"UPDOWN_SPICE_DIR={tmp_path / 'empty'} lacks them" in note


@pytest.mark.usefixtures("fake_java")
@pytest.mark.parametrize("below", [".", "notebooks"])
def test_spice_is_found_where_download_puts_it(below, tmp_path, monkeypatch):
    monkeypatch.delenv("UPDOWN_SPICE_DIR", raising=False)
    (tmp_path / below).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / below)
    (tmp_path / "data" / "spice").mkdir(parents=True)
    for name in spice._JARS:
        (tmp_path / "data" / "spice" / name).touch()

    jars = spice.spice_jars()

    assert [jar.name for jar in jars] == list(spice._JARS) == [f.name for f in CATALOGUE["spice"].files]
    assert all(jar.is_absolute() for jar in jars)


@pytest.mark.usefixtures("fake_java")
def test_a_tokeniser_that_loses_a_line_is_caught(monkeypatch):
    monkeypatch.setenv("FAKE_LOSES", "1")

    with pytest.raises(JavaFailed, match="1 lines for 2 captions"):
        ptb_tokenise({1: ["a cat"], 2: ["a dog"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}), "empty"),
        (({1: "a"}, {2: ["a"]}), "image 1; references are for images like 2"),
        (({"1": "a"}, {1: ["a"]}), "image '1'; references are for images like 1"),
        (({1: "a", 4: None}, {1: ["a"], 4: ["a"]}), "caption of image 4 must be a text, got None"),
        (({4: float("nan")}, {4: ["a"]}), "caption of image 4 must be a text, got nan"),
        (({4: ["a cat"]}, {4: ["a"]}), r"caption of image 4 must be a text, got \['a cat'\]"),
        (({4: "a"}, {4: "a cat sits"}), "references of image 4 must be a list of texts, got 'a cat sits'"),
        (({4: "a"}, {4: ["a", None]}), "references of image 4 must be a list"),
        (({4: "a"}, {4: None}), "references of image 4 must be a list of texts, got None"),
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


@pytest.mark.usefixtures("fake_java")
@pytest.mark.parametrize("stops", [True, False])
def test_a_meteor_that_breaks_is_ended_and_quoted(monkeypatch, stops):
    """Once it stops in the middle, once it answers nonsense."""
    if stops:
        monkeypatch.setenv("FAKE_STOPS", "1")
    ended = []
    close = Meteor.close
    monkeypatch.setattr(Meteor, "close", lambda self: (close(self), ended.append(self.process.poll())))

    scores = score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["METEOR", "ROUGE-L"])

    assert ended[0] is not None
    assert math.isnan(scores.corpus["METEOR"]) and scores.corpus["ROUGE-L"] == 1  # nothing else is lost
    (note,) = scores.notes
    assert note.startswith("METEOR: NaN, METEOR broke") and note.endswith("Java said: no paraphrases")
    with pytest.raises(JavaFailed), meteor_started() as meteor:
        meteor.score({1: ["a cat"]}, {1: ["a cat"]})


@pytest.mark.usefixtures("fake_java")
def test_the_meteor_process_ends_when_python_breaks(monkeypatch):
    ended = []
    close = Meteor.close
    monkeypatch.setattr(Meteor, "close", lambda self: (close(self), ended.append(self.process.poll())))
    monkeypatch.setitem(captions._WITHOUT_JAVA, "BLEU", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        score_captions({1: "a cat"}, {1: ["a cat"]}, metrics=["BLEU", "METEOR"])
    assert ended[0] is not None


@needs_java
@pytest.mark.java
def test_meteor_equals_pycocoevalcap():
    said = {3: ["a cat on the mat"], 1: ["two dogs"], 2: ["|||  x"]}
    people = {1: ["dogs play", "a dog"], 2: ["y"], 3: ["the cat sat on a mat", "a feline"]}
    with java_environment():
        corpus, each = Theirs().compute_score({image: people[image] for image in said}, said)

    with meteor_started() as meteor:
        got = meteor.score(said, people)

    assert got == {"METEOR": (corpus, each)}
