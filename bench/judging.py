"""Judging: VQA accuracy beside the straightforward loop, caption metrics beside pycocoevalcap."""

import random

from bench.harness import Record, compare
from bench.reference.vqa_evaluation import evaluate
from updown_lab.datasets.vqa import QuestionRecord
from updown_lab.metrics.captions import score_captions
from updown_lab.metrics.java import find_java, java_environment
from updown_lab.metrics.vqa import normalise_answer, vqa_accuracy

COLOURS = ("red", "small", "black", "old", "white", "green", "wooden", "large")
THINGS = ("dog", "train", "man", "kitchen", "horse", "woman", "clock", "pizza", "boat", "cat", "bicycle", "giraffe")
ACTS = ("standing", "waiting", "seen", "resting", "left alone", "playing")
PLACES = ("on a street", "near the water", "in front of a building", "under a tree", "on top of a table", "in a field")
SAID = ("yes", "no", "2", "two", "red", "Blue", "white and black", "a dog", "the cat", "tennis", "t-shirt",
        "fire hydrant", "don't know", "dont know", "1,000", "N/A", "none", "on the left.", "skiing")  # fmt: skip


def questions(count: int) -> list[QuestionRecord]:
    """Questions on which people half agree; every third answer is one that few others give."""
    draw = random.Random(0)
    found = []
    for number in range(count):
        usual, other = draw.sample(SAID, 2)
        rare = f"{draw.choice(SAID)} {draw.randrange(40_000)}"
        agree = draw.choice((4, 7, 9, 10))
        answers = [usual] * agree + [draw.choice((other, rare)) for _ in range(10 - agree)]
        kind = draw.choice(("yes/no", "number", "other"))
        found.append(QuestionRecord(number, number // 5, "", kind, f"type {number % 65}", usual, tuple(answers)))
    return found


def records(quick: bool) -> list[Record]:
    """``vqa-eval``."""
    count = 2_000 if quick else 40_000
    asked, draw = questions(count), random.Random(1)
    said = {record.question_id: draw.choice(record.answers) for record in asked}
    overall, kinds, beginnings = evaluate(said, asked)
    ours = vqa_accuracy(said, asked)
    assert abs(ours.overall - overall) < 1e-9 and all(abs(ours.by_answer_type[k] - v) < 1e-9 for k, v in kinds.items())
    assert all(abs(ours.by_question_type[k] - v) < 1e-9 for k, v in beginnings.items())

    def fresh():
        normalise_answer.cache_clear()
        vqa_accuracy(said, asked)

    note = f"{count} questions, 10 answers each, nothing remembered from before"
    found = [compare("vqa-eval", lambda: evaluate(said, asked), fresh, target=20, rounds=1 if quick else 5, note=note)]
    return found if find_java() is None else [*found, _captions(50 if quick else 5_000, 1 if quick else 3)]


def captions(images: int) -> tuple[dict, dict]:
    """A caption and five references for each image, in plain English."""
    draw = random.Random(2)

    def sentence(thing: str) -> str:
        colour, place, act = draw.choice(COLOURS), draw.choice(PLACES), draw.choice(ACTS)
        ways = (f"A {colour} {thing} {act} {place}.", f"There is a {thing} {act} {place}, and it is {colour}.",
                f"The {thing} is {colour}; it's {act} {place}.")  # fmt: skip
        return draw.choice(ways)

    things = {image: draw.choice(THINGS) for image in range(images)}
    return ({image: sentence(thing) for image, thing in things.items()},
            {image: [sentence(thing) for _ in range(5)] for image, thing in things.items()})  # fmt: skip


def pycocoevalcap_scores(said: dict, people: dict) -> dict:
    """As its own evaluation class runs it: tokenise both, then one metric after the other."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    with java_environment():
        split = PTBTokenizer()
        people = split.tokenize({image: [{"caption": text} for text in texts] for image, texts in people.items()})
        said = split.tokenize({image: [{"caption": text}] for image, text in said.items()})
        bleu = Bleu(4).compute_score(people, said, verbose=0)[0]
        rest = {"METEOR": Meteor(), "ROUGE-L": Rouge(), "CIDEr": Cider()}
        return {"BLEU-4": bleu[3]} | {name: scorer.compute_score(people, said)[0] for name, scorer in rest.items()}


def _captions(images: int, rounds: int) -> Record:
    said, people = captions(images)
    metrics = ["BLEU", "METEOR", "ROUGE-L", "CIDEr"]
    theirs, mine = pycocoevalcap_scores(said, people), score_captions(said, people, metrics).corpus
    assert all(abs(mine[name] - value) < 1e-9 for name, value in theirs.items()), (theirs, mine)
    return compare("caption-evaluation", lambda: pycocoevalcap_scores(said, people),
                   lambda: score_captions(said, people, metrics), target=1.3, rounds=rounds, warm_up=0,
                   note=f"{images} images x 5 references, without SPICE; CPU of Java is not counted")  # fmt: skip
