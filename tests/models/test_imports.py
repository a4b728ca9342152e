"""Checkpoints of others: each network is written out slowly here, and every word must keep its probability."""

import json
import pickle
from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from torch import nn

from updown_lab.checkpoints import load_weights, read_facts, save_model
from updown_lab.config import CaptionerConfig, from_dict
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.imports import import_captioner
from updown_lab.models.imports.caffe import BEAM, export_caffe
from updown_lab.models.imports.layout import our_gates
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START, UNKNOWN, Vocabulary

E, H, A, D, V = 5, 6, 4, 8, 7  # V: their words, begin and end included
TARGETS = torch.tensor([[4, 6, 3, 2], [7, 2, 0, 0], [5, 5, 8, 2]])  # in our numbers
ROWS = torch.tensor([1, 0, 1])


def regions_of() -> RegionBatch:
    torch.manual_seed(7)
    boxes = torch.tensor([[[10.0, 20, 60, 40], [0, 0, 100, 80], [5, 5, 50, 60]]]).repeat(2, 1, 1)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    features = torch.rand(2, 3, D, dtype=torch.float64).masked_fill(~mask[..., None], float("nan"))
    return RegionBatch(features, boxes, mask, torch.tensor([[100.0, 80.0], [200.0, 80.0]]))


def assert_same_words(model, theirs, ours_to_theirs: dict[int, int]) -> None:
    """Teacher forcing of both: ``theirs(features, boxes / size, numbers)`` gives log-probabilities (T, V)."""
    regions = regions_of()
    got, _ = model(regions, shift_right(TARGETS), ROWS)
    said = sorted(ours_to_theirs)
    with torch.no_grad():
        for row, image in enumerate(ROWS.tolist()):
            read = [word for word in shift_right(TARGETS)[row].tolist() if word != PAD]
            numbers = [ours_to_theirs[END if word == START else word] for word in read]
            mask = regions.mask[image]
            expected = theirs(regions.features[image][mask], regions.boxes[image][mask], regions.image_sizes[image],
                              numbers)  # fmt: skip
            found = got[row, : len(read)][:, said]
            torch.testing.assert_close(found, expected[:, [ours_to_theirs[word] for word in said]])
            total = got[row, : len(read)].exp().sum(-1)
            torch.testing.assert_close(total, torch.ones(len(read), dtype=torch.float64))


# --------------------------------------------------------------------------------------------------- ruotianluo


class Ruotianluo(nn.Module):
    """Modules named as in his state dict; ``forward`` takes one image."""

    def __init__(self, norm: int = 0, geometry: bool = False, normalise: bool = False):
        super().__init__()
        wide = D + 5 * geometry
        self.geometry, self.normalise = geometry, normalise
        self.embed = nn.Sequential(nn.Embedding(V, E), nn.ReLU())
        self.fc_embed = nn.Sequential(nn.Linear(D, H), nn.ReLU())
        before = [nn.BatchNorm1d(wide)] if norm else []
        after = [nn.BatchNorm1d(H)] if norm == 2 else []
        self.att_embed = nn.Sequential(*before, nn.Linear(wide, H), nn.ReLU(), nn.Dropout(0.5), *after)
        self.logit, self.ctx2att = nn.Linear(H, V), nn.Linear(H, A)
        self.core = nn.Module()
        self.core.att_lstm, self.core.lang_lstm = nn.LSTMCell(E + 2 * H, H), nn.LSTMCell(2 * H, H)
        self.core.attention = nn.Module()
        self.core.attention.h2att, self.core.attention.alpha_net = nn.Linear(H, A), nn.Linear(A, 1)

    def forward(self, features, boxes, image_size, numbers):
        overview = self.fc_embed(features.mean(0, keepdim=True))
        if self.normalise:
            features = features / features.norm(dim=1, keepdim=True)
        if self.geometry:
            (x1, y1, x2, y2), (width, height) = boxes.double().t(), image_size.double()
            area = (x2 - x1) * (y2 - y1) / (width * height)
            places = torch.stack([x1 / width, y1 / height, x2 / width, y2 / height, area], 1)
            features = torch.cat([features, places], 1)
        features = self.att_embed(features)
        h1 = c1 = h2 = c2 = torch.zeros(1, H, dtype=torch.float64)
        found, core = [], self.core
        for number in numbers:
            word = self.embed(torch.tensor([number]))
            h1, c1 = core.att_lstm(torch.cat([h2, overview, word], 1), (h1, c1))
            scores = core.attention.alpha_net(torch.tanh(self.ctx2att(features) + core.attention.h2att(h1)))
            attended = (scores.softmax(0) * features).sum(0, keepdim=True)
            h2, c2 = core.lang_lstm(torch.cat([attended, h1], 1), (h2, c2))
            found.append(self.logit(h2).log_softmax(1)[0])
        return torch.stack(found)


def ruotianluo_of(**variant) -> Ruotianluo:
    torch.manual_seed(3)
    theirs = Ruotianluo(**variant).double()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm1d):
            for part in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(part)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return theirs.eval()


WORDS = {"1": "a", "2": "cat", "3": "dog", "4": "on", "5": "the", "6": "UNK"}


def write_ruotianluo(folder: Path, theirs: nn.Module, words=WORDS, ending: str = "", **options) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(theirs.state_dict(), folder / f"model{ending}.pth")
    torch.save({"state": {}}, folder / f"optimizer{ending}.pth")
    infos = {"iter": 7, "vocab": words, "opt": Namespace(id="td", caption_model="updown", max_length=16, **options),
             "loader_state_dict": {"train": {"index_list": [1, 2], "iter_counter": 0}}}  # fmt: skip
    (folder / f"infos_td{ending}.pkl").write_bytes(pickle.dumps(infos, protocol=2))
    return folder


@pytest.mark.parametrize("norm", [0, 1, 2])
def test_ruotianluos_words_keep_their_probabilities(tmp_path, norm):
    theirs = ruotianluo_of(norm=norm)

    model, vocabulary, facts = import_captioner(write_ruotianluo(tmp_path, theirs, use_bn=norm, drop_prob_lm=0.3))

    assert vocabulary.words[3:] == ["<unknown>", "a", "cat", "dog", "on", "the"]
    assert_same_words(model, theirs, {END: 0, UNKNOWN: 6, 4: 1, 5: 2, 6: 3, 7: 4, 8: 5})
    assert (model.cfg.batch_norm, model.cfg.dropout, model.cfg.maximum_words) == (norm, 0.3, 16)
    assert facts["file"] == "model.pth" and facts["options"]["use_bn"] == norm and json.dumps(facts)


def test_ruotianluos_boxes_and_lengths_are_imported(tmp_path):
    theirs = ruotianluo_of(geometry=True, normalise=True, norm=1)
    folder = write_ruotianluo(tmp_path, theirs, use_box=1, norm_att_feat=1)

    model, _, facts = import_captioner(folder)

    assert facts["feature_dim"] == D and model.cfg.geometry and model.cfg.normalise == "attended"
    assert_same_words(model, theirs, {END: 0, UNKNOWN: 6, 4: 1, 5: 2, 6: 3, 7: 4, 8: 5})


def test_a_model_without_unknown_word_never_says_it(tmp_path):
    theirs = ruotianluo_of()
    words = WORDS | {"6": "mat"}

    model, vocabulary, _ = import_captioner(write_ruotianluo(tmp_path, theirs, words))

    regions = regions_of()
    log_probs, _ = model(regions, shift_right(TARGETS[1:2]), ROWS[1:2])
    assert (log_probs[0, 0, UNKNOWN].exp() == 0).item()
    assert vocabulary.words[4:] == ["a", "cat", "dog", "on", "the", "mat"]
    torch.testing.assert_close(log_probs[0, 0, [END, 4, 5, 6, 7, 8, 9]].exp().sum(), torch.tensor(1.0).double())


def test_unknown_need_not_be_the_last_word(tmp_path):
    theirs = ruotianluo_of()

    model, vocabulary, _ = import_captioner(write_ruotianluo(tmp_path, theirs, WORDS | {"2": "UNK", "6": "cat"}))

    assert vocabulary.words[4:] == ["a", "dog", "on", "the", "cat"]
    assert_same_words(model, theirs, {END: 0, UNKNOWN: 2, 4: 1, 5: 3, 6: 4, 7: 5, 8: 6})


def test_the_best_of_a_run_comes_with_its_own_infos(tmp_path):
    write_ruotianluo(tmp_path, ruotianluo_of(), WORDS)
    write_ruotianluo(tmp_path, ruotianluo_of(), WORDS | {"1": "the best"}, ending="-best")

    assert import_captioner(tmp_path)[1].words[4] == "the best"
    assert import_captioner(tmp_path / "model.pth")[1].words[4] == "a"
    assert import_captioner(tmp_path / "model.pth", tmp_path / "infos_td-best.pkl")[1].words[4] == "the best"


def test_a_data_parallel_checkpoint_is_read_too(tmp_path):
    theirs = ruotianluo_of()
    write_ruotianluo(tmp_path, nn.DataParallel(theirs))

    model, _, _ = import_captioner(tmp_path)

    assert_same_words(model, theirs, {END: 0, UNKNOWN: 6, 4: 1, 5: 2, 6: 3, 7: 4, 8: 5})


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    theirs = ruotianluo_of()
    state = theirs.state_dict()
    del state["logit.bias"]
    state["core.att_lstm.weight_hh"] = torch.zeros(3, 3)
    state["ctx2att.bias"] = torch.full((A,), float("nan"))
    state["logit.3.weight"] = torch.zeros(2)
    write_ruotianluo(tmp_path, theirs, {"1": "a", "2": "a", "3": "<pad>"}, norm_box_feat=1)
    torch.save(state, tmp_path / "model.pth")

    with pytest.raises(DataInvalid) as caught:
        import_captioner(tmp_path)

    assert str(caught.value).splitlines()[1:] == [
        "  core.att_lstm.weight_hh: has (3, 3), should be (24, 6)",
        "  ctx2att.bias: holds nan or infinity",
        "  logit.3.weight: has (2), should not be there",
        "  logit.bias: is missing, should be (7)",
        "  vocabulary: 3 words, but the model has rows for 6, numbered from 1",
        "  option norm_box_feat: boxes scaled to length 1 are not known here",
        "  vocabulary: 'a' is listed twice",
        "  vocabulary: '<pad>' is listed twice or is ours",
    ]


@pytest.mark.parametrize("name", sorted(Ruotianluo().state_dict()))
def test_any_missing_tensor_is_named(tmp_path, name):
    theirs = ruotianluo_of()
    write_ruotianluo(tmp_path, theirs)
    torch.save({key: part for key, part in theirs.state_dict().items() if key != name}, tmp_path / "model.pth")

    message = "is no captioner known here" if name == "core.att_lstm.weight_ih" else f"{name}: is missing, should be"
    with pytest.raises(DataInvalid, match=message):
        import_captioner(tmp_path)


# ---------------------------------------------------------------------------------------------- updown-baseline


class Baseline(nn.Module):
    """Modules named as in updown-baseline; ``forward`` takes one image."""

    def __init__(self):
        super().__init__()
        self._embedding_layer, self._output_layer = nn.Embedding(V, E), nn.Linear(H, V)
        cell = self._updown_cell = nn.Module()
        cell._attention_lstm_cell = nn.LSTMCell(E + D + 2 * H, H)
        cell._language_lstm_cell = nn.LSTMCell(D + 2 * H, H)
        attention = cell._butd_attention = nn.Module()
        attention._query_vector_projection_layer = nn.Linear(H, A, bias=False)
        attention._image_features_projection_layer = nn.Linear(D, A, bias=False)
        attention._attention_layer = nn.Linear(A, 1, bias=False)

    def forward(self, features, boxes, image_size, numbers):
        cell, attention = self._updown_cell, self._updown_cell._butd_attention
        h1 = c1 = h2 = c2 = torch.zeros(1, H, dtype=torch.float64)
        found, overview = [], features.mean(0, keepdim=True)
        for number in numbers:
            word = self._embedding_layer(torch.tensor([number]))
            h1, c1 = cell._attention_lstm_cell(torch.cat([word, overview, h1, h2], 1), (h1, c1))
            keys = attention._image_features_projection_layer(features) + attention._query_vector_projection_layer(h1)
            attended = (attention._attention_layer(keys.tanh()).softmax(0) * features).sum(0, keepdim=True)
            h2, c2 = cell._language_lstm_cell(torch.cat([attended, h1, h2], 1), (h2, c2))
            found.append(self._output_layer(h2).log_softmax(1)[0])
        return torch.stack(found)


TOKENS = ["@@UNKNOWN@@", "@@BOUNDARY@@", "a", "cat", "dog", "on", "the"]


def write_baseline(folder: Path, state: dict, tokens=TOKENS) -> Path:
    torch.save({"model": state, "optimizer": {"state": {}}, "iteration": 7}, folder / "checkpoint_best.pth")
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "tokens.txt").write_text("".join(f"{token}\n" for token in tokens))
    (folder / "vocabulary" / "non_padded_namespaces.txt").write_text("tokens")
    return folder


def baseline_of() -> Baseline:
    torch.manual_seed(4)
    return Baseline().double()


@pytest.mark.parametrize("earlier", [False, True])
def test_baselines_words_keep_their_probabilities(tmp_path, earlier):
    theirs = baseline_of()
    state = {name.replace("_query_vector", "_vector").replace("_image_features", "_matrix") if earlier else name: part
             for name, part in theirs.state_dict().items()}  # fmt: skip

    model, vocabulary, facts = import_captioner(write_baseline(tmp_path, state))

    assert vocabulary.words[4:] == ["a", "cat", "dog", "on", "the"]
    assert_same_words(model, theirs, {END: 1, UNKNOWN: 0, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6})
    assert (facts["vocabulary_size"], facts["feature_dim"]) == (9, D)


def test_baselines_glove_variant_and_short_word_lists_are_refused(tmp_path):
    state = baseline_of().state_dict() | {"_output_projection.0.weight": torch.zeros(E, H)}
    write_baseline(tmp_path, state, ["@@UNKNOWN@@", "a"])

    with pytest.raises(DataInvalid) as caught:
        import_captioner(tmp_path)

    for line in ("_output_projection: the variant with GloVe words", "vocabulary: @@BOUNDARY@@ is missing",
                 "vocabulary: 2 words, but the model has rows for 7"):  # fmt: skip
        assert line in str(caught.value)


# ------------------------------------------------------------------------------------------------- Caffe


class Caffe:
    """The authors' network on its blobs: gates i, f, o, g, one matrix and one bias an LSTM."""

    def __init__(self):
        torch.manual_seed(5)
        shapes = {"embedding/0": (V, E), "fc/0": (A, D), "lstm1/0": (4 * H, E + D + 2 * H), "lstm1/1": (4 * H,),
                  "hidden_att_0/0": (A, H), "predict_att_0/0": (1, A), "lstm2/0": (4 * H, D + 2 * H),
                  "lstm2/1": (4 * H,), "predict/0": (V, H), "predict/1": (V,)}  # fmt: skip
        self.blobs = {name: 0.5 * torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}

    def lstm(self, name, inputs, cell):
        gates = self.blobs[f"{name}/0"] @ torch.cat(inputs) + self.blobs[f"{name}/1"]
        let_in, keep, show, candidate = gates[:H], gates[H : 2 * H], gates[2 * H : 3 * H], gates[3 * H :]
        cell = keep.sigmoid() * cell + let_in.sigmoid() * candidate.tanh()
        return show.sigmoid() * cell.tanh(), cell

    def __call__(self, features, boxes, image_size, numbers):
        h1 = c1 = h2 = c2 = torch.zeros(H, dtype=torch.float64)
        found, blobs = [], self.blobs
        for number in numbers:
            h1, c1 = self.lstm("lstm1", [blobs["embedding/0"][number], features.mean(0), h2, h1], c1)
            keys = (features @ blobs["fc/0"].t() + blobs["hidden_att_0/0"] @ h1).tanh()
            attended = (keys @ blobs["predict_att_0/0"][0]).softmax(0) @ features
            h2, c2 = self.lstm("lstm2", [h1, attended, h2], c2)
            found.append((blobs["predict/0"] @ h2 + blobs["predict/1"]).log_softmax(0))
        return torch.stack(found)


VOCABULARY = [".", "<unk>", "a", "cat", "dog", "on", "the"]
CAFFE_NUMBERS = {END: 0, UNKNOWN: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6}


def write_caffe(folder: Path, blobs: dict, words=VOCABULARY, name: str = "lstm_iter_60000.caffemodel.h5") -> Path:
    with h5py.File(folder / name, "w") as file:
        for layer, blob in blobs.items():
            file[f"data/{layer}"] = blob.numpy()
        file.require_group("data/silence")  # layers without weights are empty groups
    (folder / "train_vocab.txt").write_text("\n".join(words))  # theirs has no newline at the end
    return folder / name


def test_the_authors_words_keep_their_probabilities(tmp_path):
    theirs = Caffe()

    model, vocabulary, facts = import_captioner(write_caffe(tmp_path, theirs.blobs))

    assert vocabulary.words[4:] == VOCABULARY[2:]
    assert_same_words(model, theirs, CAFFE_NUMBERS)
    assert facts["captioner"]["hidden_size"] == H and facts["source"] == "peteanderson80/Up-Down-Captioner"


@pytest.mark.parametrize("restored", [False, True])
def test_a_self_critical_snapshot_is_read_with_and_without_the_authors_copying(tmp_path, restored):
    theirs = Caffe()
    blobs = {f"beam/{number}": theirs.blobs[name] for number, name in enumerate(BEAM)} | {"fc/0": theirs.blobs["fc/0"]}

    model, _, _ = import_captioner(write_caffe(tmp_path, blobs | theirs.blobs if restored else blobs))

    assert_same_words(model, theirs, CAFFE_NUMBERS)


def test_caffe_there_and_back_changes_no_number(tmp_path):
    torch.manual_seed(6)
    words = Vocabulary(["a", "cat", "dog"])
    model = UpDownCaptioner(CaptionerConfig(E, H, A), len(words), D)

    export_caffe(tmp_path / "x.caffemodel.h5", model, words)
    again, again_words, _ = import_captioner(tmp_path / "x.caffemodel.h5")

    assert again_words.words == words.words
    expected, got = model.state_dict(), again.state_dict()
    # START is only ever read and END only ever said: one row each in Caffe's single number for both.
    assert got["embedding.weight"][START].equal(expected["embedding.weight"][START])
    assert got["output.weight"][END].equal(expected["output.weight"][END])
    for name in expected:
        rows = slice(UNKNOWN, None) if name.split(".")[0] in ("embedding", "output") else slice(None)
        assert got[name][rows].equal(expected[name][rows]), name


def test_an_exported_file_is_the_authors_network(tmp_path):
    torch.manual_seed(6)
    words = Vocabulary(VOCABULARY[2:])
    model, theirs = UpDownCaptioner(CaptionerConfig(E, H, A), len(words), D), Caffe()

    export_caffe(tmp_path / "x.caffemodel.h5", model, words)

    with h5py.File(tmp_path / "x.caffemodel.h5") as file:
        theirs.blobs = {name: torch.from_numpy(file[f"data/{name}"][()]).double() for name in theirs.blobs}
    assert_same_words(model.double(), theirs, CAFFE_NUMBERS)
    assert (tmp_path / "train_vocab.txt").read_text().split() == VOCABULARY


def test_variants_are_not_exported(tmp_path):
    model = UpDownCaptioner(CaptionerConfig(E, H, A, attention_bias=True, word_relu=True), 6, D)
    model.standardise.fit(torch.ones(D), torch.ones(D))

    with pytest.raises(ConfigError, match="knows no attention_bias=True, word_relu=True, standardised features"):
        export_caffe(tmp_path / "x.caffemodel.h5", model, Vocabulary(["a", "b"]))
    assert list(tmp_path.iterdir()) == []


def test_caffe_files_that_do_not_fit_are_refused_in_one_go(tmp_path):
    blobs = Caffe().blobs
    del blobs["fc/0"]
    blobs["lstm2/1"] = torch.zeros(3)
    path = write_caffe(tmp_path, blobs, ["a", "b"])

    with pytest.raises(DataInvalid) as caught:
        import_captioner(path)

    for line in ("fc/0: is missing, should be (?, ?)", "lstm2/1: has (3), should be (24)",
                 "vocabulary: 2 words, but the model has rows for 7",
                 "vocabulary: begins with ['a', 'b'], should begin with ['.', '<unk>']"):  # fmt: skip
        assert line in str(caught.value)


# ------------------------------------------------------------------------------------------------- all


def test_an_imported_captioner_is_saved_and_loaded_like_ours(tmp_path):
    model, vocabulary, facts = import_captioner(write_ruotianluo(tmp_path / "his", ruotianluo_of(norm=2).float()))

    save_model(tmp_path / "ours", model, **facts)
    facts = read_facts(tmp_path / "ours")
    again = UpDownCaptioner(from_dict(facts["captioner"], CaptionerConfig), facts["vocabulary_size"],
                            facts["feature_dim"])  # fmt: skip
    load_weights(tmp_path / "ours", again)

    regions = replace(regions_of(), features=regions_of().features.float())
    assert again(regions, shift_right(TARGETS), ROWS)[0].equal(model(regions, shift_right(TARGETS), ROWS)[0])
    assert len(vocabulary) == facts["vocabulary_size"]


def test_an_imported_captioner_learns_on(tmp_path):
    model, _, _ = import_captioner(write_ruotianluo(tmp_path, ruotianluo_of(norm=1)))

    log_probs, _ = model.train()(regions_of(), shift_right(TARGETS), ROWS)
    log_probs[..., 2:].sum().backward()

    assert all(part.grad is not None and part.is_contiguous() for part in model.parameters())


def test_gates_of_torch_come_into_our_order():
    assert our_gates(torch.arange(8)[:, None]).flatten().tolist() == [0, 1, 2, 3, 6, 7, 4, 5]  # i f g o -> i f o g


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "broken.pth").write_bytes(b"no torch file")
    torch.save(OrderedDict(weight=torch.zeros(1)), tmp_path / "linear.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"run": print}, tmp_path / "hostile.pth")

    for name, message in (("broken.pth", "neither HDF5 nor a torch file"), ("hostile.pth", "neither HDF5 nor a torch"),
                          ("linear.pth", "no captioner known here; its tensors are weight …"),
                          ("list.pth", "holds a list instead of a state dict")):  # fmt: skip
        with pytest.raises(DataInvalid, match=message):
            import_captioner(tmp_path / name)


def test_what_is_not_there_is_named(tmp_path):
    torch.save(ruotianluo_of().state_dict(), tmp_path / "model.pth")
    empty = tmp_path / "empty"
    empty.mkdir()

    for path, words, message in (
        (tmp_path / "nothing", None, "no file or folder .*nothing"),
        (empty, None, "empty holds no checkpoint: no file ends in .pth, .pt, .h5"),
        (tmp_path, None, r"no infos_\*.pkl in .*: it holds the vocabulary of model.pth"),
        (tmp_path, tmp_path / "infos.pkl", "no file or folder .*infos.pkl"),
    ):
        with pytest.raises(DataMissing, match=message):
            import_captioner(path, words)

    torch.save({}, tmp_path / "other.pth")
    with pytest.raises(DataMissing, match=r"holds model\.pth, other\.pth; name the one that is meant"):
        import_captioner(tmp_path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: write_baseline(folder, baseline_of().state_dict()), "no tokens.txt in"),
        (lambda folder: write_caffe(folder, Caffe().blobs), "no .*train_vocab.txt: it holds the vocabulary"),
    ],
)
def test_a_missing_vocabulary_is_named(tmp_path, write, message):
    write(tmp_path)
    for file in (*tmp_path.glob("**/tokens.txt"), *tmp_path.glob("train_vocab.txt")):
        file.unlink()

    with pytest.raises(DataMissing, match=message):
        import_captioner(tmp_path)


@pytest.mark.parametrize("infos", [[1], {"opt": {}}, {"vocab": {"a": "b"}}, {"vocab": "words"}])
def test_infos_without_words_are_refused(tmp_path, infos):
    write_ruotianluo(tmp_path, ruotianluo_of())
    (tmp_path / "infos_td.pkl").write_bytes(pickle.dumps(infos))

    with pytest.raises(DataInvalid, match=r'infos_td\.pkl should hold a dictionary with "vocab"'):
        import_captioner(tmp_path)


def test_a_vocabulary_that_is_no_text_is_refused(tmp_path):
    path = write_caffe(tmp_path, Caffe().blobs)
    (tmp_path / "train_vocab.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataInvalid, match=r"train_vocab\.txt is not UTF-8 text"):
        import_captioner(path)
