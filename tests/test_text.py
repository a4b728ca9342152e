"""Words to ids and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.text import (
    END,
    PAD,
    START,
    UNKNOWN,
    AnswerVocabulary,
    Vocabulary,
    pad_ids,
    split_at_blanks,
    tokenise,
)

WORDS = st.lists(st.sampled_from(["a", "cat", "dog", "man's", "2", "red"]), max_size=8)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A red cat, on the grass .", ["a", "red", "cat", "on", "the", "grass"]),
        ("A man's dog isn't here", ["a", "man's", "dog", "isn't", "here"]),
        ("two-tone 12 cups!", ["two", "tone", "12", "cups"]),
        ("the dogs' toy", ["the", "dogs", "toy"]),
        (" ... ", []),
        ("", []),
        ("Où est le café naïve – ici ?", ["où", "est", "le", "café", "naïve", "ici"]),
        ("cafe\u0301", ["café"]),  # an accent written apart
        ("猫は赤い？", ["猫は赤い"]),
        ("हिन्दी l'œil", ["हिन्दी", "l'œil"]),
        ("5 × 3 … ½", ["5", "3"]),
        ("x_y", ["x", "y"]),
    ],
)
def test_sentences_fall_into_lower_case_words(sentence, expected):
    assert tokenise(sentence) == expected


def test_the_four_special_ids_are_where_the_models_expect_them():
    assert (PAD, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert Vocabulary(["cat"]).words == ["<pad>", "<start>", "<end>", "<unknown>", "cat"]
    assert len(Vocabulary(["cat"])) == 5


def test_words_come_by_frequency_then_alphabet_and_rare_ones_stay_out():
    """By hand: cat 3, then a and dog 2 each in alphabetical order; red 1 is below the minimum of 2."""
    built = Vocabulary.build(["A cat, a dog", "cat dog red", "cat"], minimum_count=2)

    assert built.words[4:] == ["cat", "a", "dog"]
    assert Vocabulary.build(["red cat cat"], minimum_count=3).words[4:] == []


def test_the_order_of_the_sentences_does_not_show():
    sentences = ["a cat", "the dog", "a red dog"]

    assert Vocabulary.build(sentences, 1).words == Vocabulary.build(sentences[::-1], 1).words


@given(WORDS)
def test_decoding_undoes_encoding(words):
    vocabulary = Vocabulary(["a", "cat", "dog", "man's", "2", "red"])
    sentence = " ".join(words)

    ids = vocabulary.encode(sentence)

    assert vocabulary.decode([START, *ids, END, PAD, PAD]) == sentence
    assert vocabulary.decode(torch.tensor([*ids, END, 5])) == sentence  # nothing is read after the end


def test_a_word_not_listed_becomes_unknown_and_shows():
    vocabulary = Vocabulary(["cat"])

    assert vocabulary.encode("blue cat") == [UNKNOWN, 4]
    assert vocabulary.decode([UNKNOWN, 4]) == "<unknown> cat"


@pytest.mark.parametrize(("maximum", "count"), [(None, 3), (2, 2), (3, 3), (9, 3), (0, 0)])
def test_long_sentences_are_cut(maximum, count):
    assert len(Vocabulary(["a"]).encode("a a a", maximum)) == count


@pytest.mark.parametrize("words", [["cat", "dog", "cat"], ["<end>"]])
def test_a_word_listed_twice_is_refused_by_name(words):
    with pytest.raises(ValueError, match=r"listed again: \['(cat|<end>)'\]"):
        Vocabulary(words)


def test_a_vocabulary_comes_back_from_its_file(tmp_path):
    vocabulary = Vocabulary(["cat", "man's", "ä"])

    vocabulary.save(tmp_path / "words.json")

    assert Vocabulary.load(tmp_path / "words.json").ids == vocabulary.ids


def test_the_man_s_shirt_is_read_as_hengyuan_hu_s_code_reads_it(tmp_path):
    """By hand: "'s" is a word of its own and the full stop stays, as in his dictionary; "new" is left out."""
    his = Vocabulary(["the", "man", "'s", "shirt", "u.s."], tokeniser="blanks")
    his.save(tmp_path / "words.json")

    for words in (his, Vocabulary.load(tmp_path / "words.json")):
        assert words.encode("The man's, new U.S. shirt?") == [4, 5, 6, 8, 7]
        assert words.encode("The man's, new U.S. shirt?", maximum=5) == [4, 5, 6, 8]
        assert words.unknown("The man's new, new shirt?") == ["new"]
    assert split_at_blanks("the man's shirt") == ["the", "man", "'s", "shirt"]
    assert Vocabulary(["man's"]).encode("man's 's") == [4, UNKNOWN]


def test_unknown_words_are_named_once_and_only_as_far_as_is_read():
    words = Vocabulary(["a", "cat"])

    assert words.unknown("a red, RED cat by a dog") == ["red", "by", "dog"]
    assert words.unknown("a red, RED cat by a dog", maximum=4) == ["red"]
    assert words.unknown("") == []


def test_an_unknown_tokeniser_is_refused(tmp_path):
    (tmp_path / "words.json").write_text('{"tokeniser": "bpe", "words": ["a"]}')

    with pytest.raises(DataInvalid, match="'bpe'; known: words, blanks"):
        Vocabulary.load(tmp_path / "words.json")
    with pytest.raises(ValueError, match="known: words, blanks"):
        Vocabulary(["a"], "bpe")


@pytest.mark.parametrize("content", ['{"cat": 4}', '["cat", 5]', '"cat"', "cat"])
def test_a_file_that_is_no_vocabulary_is_named(tmp_path, content):
    (tmp_path / "words.json").write_text(content)

    with pytest.raises(DataInvalid, match=r"words\.json"):
        Vocabulary.load(tmp_path / "words.json")
    with pytest.raises(DataMissing):
        Vocabulary.load(tmp_path / "gone.json")


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=4))
def test_padding_keeps_rows_and_fills_with_zero(rows):
    table = pad_ids(rows)

    assert table.dtype == torch.long and table.shape == (len(rows), max(map(len, rows), default=0))
    assert [[number for number in row if number] for row in table.tolist()] == rows
    assert all(row[: len(given)] == given for row, given in zip(table.tolist(), rows, strict=True))


def test_answers_need_to_be_given_often_enough_over_all_questions():
    """By hand: yes 3 times, no and red twice each, blue once."""
    groups = [["yes", "no", "red"], ["yes", "red", "blue"], ["yes", "no"]]

    assert AnswerVocabulary.build(groups, minimum_count=2).answers == ["yes", "no", "red"]
    assert len(AnswerVocabulary.build(groups, minimum_count=4)) == 0


def test_the_minimum_of_answers_is_the_paper_s_nine():
    assert AnswerVocabulary.build([["yes"] * 9, ["no"] * 8]).answers == ["yes"]


def test_soft_scores_by_hand():
    """min(1, n / 3): one annotator gives a third, two two thirds, three or ten all; "grey" is not listed."""
    listed = AnswerVocabulary(["red", "blue", "green", "pink"])

    scores = listed.soft_scores(["red"] * 4 + ["blue"] * 2 + ["green"] + ["grey"] * 3)

    assert scores == pytest.approx({0: 1.0, 1: 2 / 3, 2: 1 / 3})
    assert listed.soft_scores(["pink"] * 3) == {3: 1.0}
    assert listed.soft_scores([]) == listed.soft_scores(["grey"] * 10) == {}


def test_answers_come_back_from_their_file(tmp_path):
    AnswerVocabulary(["yes", "no"]).save(tmp_path / "answers.json")

    assert AnswerVocabulary.load(tmp_path / "answers.json").ids == {"yes": 0, "no": 1}
