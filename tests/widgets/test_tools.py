"""The kernel's side of the smaller widgets: boxes, curves, beams, scores, figures."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
from test_ask import FakeAnswerer
from toy_scenes import BOXES, FakeSpeaker, image, panel, regions

from updown_lab.config import DecodeConfig, preset
from updown_lab.decode import beam_search
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.regions import Regions, collate_regions
from updown_lab.text import Vocabulary
from updown_lab.vision.detections import Detections
from updown_lab.widgets import (
    AskTheImage,
    AttentionExplorer,
    BeamTree,
    ErrorBrowser,
    RegionBrowser,
    TrainingMonitor,
    base,
    plot_attention,
)
from updown_lab.widgets.beam import STOP, search_tree
from updown_lab.widgets.errors import ScoreTable
from updown_lab.widgets.monitor import say_with

WORDS = Vocabulary(["cat", "dog", "red", "a", "on"])


def captioner(seed=0):
    torch.manual_seed(seed)
    return UpDownCaptioner(preset("tiny").captioner, vocabulary_size=len(WORDS), feature_dim=5).eval()


def seen():
    torch.manual_seed(3)
    return Regions(torch.randn(4, 5), BOXES, (120, 90), "toy")


def detections():
    """Two proposals, not regressed."""
    probabilities, deltas = torch.tensor([[0.1, 0.7], [0.4, 0.2]]), torch.zeros(2, 2, 4)
    return Detections(BOXES[:2], torch.zeros(2, 3), probabilities, torch.tensor([[0.2, 0.5], [0.1, 0.1]]),
                      torch.tensor([0.3, 0.8]), deltas, (120, 90))  # fmt: skip


def test_the_browser_begins_before_any_selection():
    browser = RegionBrowser(image(), detections(), ["dog", "cat"], ["red", "blue"])

    assert browser.view["labels"] == ["blue cat 0.70", "dog 0.40"]  # row 1 has no attribute: 0.8 wins
    assert browser.view["classes"] == [1, 0]
    np.testing.assert_allclose(np.frombuffer(browser.view["scores"], "<f4"), [0.7, 0.4])
    with pytest.raises(ValueError, match=r"0\.\.1"):
        RegionBrowser(image(), regions(), threshold=1.5)


def test_a_grid_can_be_browsed_too():
    plain = Regions(torch.zeros(4, 2), BOXES, (120, 90), "grid 2x2")

    assert RegionBrowser(image(), plain).view["labels"] == ["0", "1", "2", "3"]


def test_a_model_or_its_detector_is_asked_what_it_found_before_any_selection():
    detector = SimpleNamespace(detect=lambda images: [detections() for _ in images])
    speaker = SimpleNamespace(
        encoder=SimpleNamespace(detector=detector), see=None, objects=["dog", "cat"], attributes=["red", "blue"]
    )

    assert RegionBrowser(image(), speaker).view["labels"] == ["blue cat 0.70", "dog 0.40"]
    assert len(RegionBrowser(image(), detector, ["dog", "cat"]).view["labels"]) == 2
    grid = SimpleNamespace(encoder=SimpleNamespace(network=None), see=lambda picture: regions())
    assert RegionBrowser(image(), grid).view["classes"] == [0, 1, 2, 3]  # nothing to select from: what it sees
    with pytest.raises(TypeError, match="a Speaker, an Answerer, a detector, Detections or Regions; got str"):
        RegionBrowser(image(), "boxes")


class Shell:
    """IPython, as it looks while a cell runs."""

    def __init__(self):
        self.execution, self.metadata, self.code = 0, {"cellId": "cell"}, "the same text"

    def get_parent(self):
        content = {"code": self.code} if self.code else {"comm_id": "of a click"}
        return {"metadata": self.metadata, "header": {"msg_id": f"message {self.execution}"}, "content": content}


@pytest.fixture
def shell(monkeypatch):
    """A notebook in which nothing was made yet."""
    import IPython

    shell = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(base, "_MADE", {})
    return shell


def alive():
    """Ids of all widgets that are open: views, layouts and styles."""
    kept = getattr(ipywidgets.widgets.widget, "_instances", None)
    return set(ipywidgets.Widget.widgets if kept is None else kept)


def explored(shell, folder):
    """A browser in which a row was clicked: while a click is answered, no cell runs."""
    browser = ErrorBrowser(SCORES, lambda row: ipywidgets.VBox([AttentionExplorer(image(), panel())]))
    told, shell.metadata, shell.code = (shell.metadata, shell.code), {}, ""
    browser.table.chosen = 0
    browser.table.chosen = 2
    shell.metadata, shell.code = told
    return browser


EVERY_WIDGET = {
    "explorer": lambda shell, folder: AttentionExplorer(image(), panel()),
    "comparison": lambda shell, folder: AttentionExplorer(image(), {"one": FakeSpeaker(), "two": FakeSpeaker()}),
    "question": lambda shell, folder: AskTheImage(FakeAnswerer(), image(), "how many?"),
    "regions": lambda shell, folder: RegionBrowser(image(), regions()),
    "monitor": lambda shell, folder: TrainingMonitor(folder, every=1000),
    "beam": lambda shell, folder: BeamTree(
        SimpleNamespace(model=captioner(), vocabulary=WORDS), seen(), DecodeConfig()
    ),
    "errors": lambda shell, folder: ErrorBrowser(SCORES, lambda row: None),
    "errors, clicked": explored,
}


@pytest.mark.parametrize("name", EVERY_WIDGET)
def test_running_a_cell_again_leaves_as_many_widgets_as_running_it_once(shell, tmp_path, name):
    before, counts, last = alive(), [], None
    for shell.execution in range(1, 5):
        last = EVERY_WIDGET[name](shell, tmp_path)
        counts.append(len(alive() - before))

    assert counts[0] >= 2 and set(counts) == {counts[0]}  # a widget and its layout at least
    base.put_away(last)
    assert alive() == before


@pytest.mark.parametrize(
    "metadata", [{"cellId": "4"}, {"colab": {"cell_id": "4"}}, {}], ids=["JupyterLab, VS Code", "Colab", "none"]
)
def test_a_cell_is_known_again_by_its_id_or_where_nobody_tells_it_by_its_text(shell, metadata):
    shell.metadata, shell.execution = metadata, 1
    first = RegionBrowser(image(), regions())
    shell.execution, shell.code = 2, "another text" if metadata else shell.code
    second = RegionBrowser(image(), regions())
    assert first.comm is None and second.comm is not None

    shell.metadata = {**metadata, **({"cellId": "5"} if metadata else {})}
    shell.execution, shell.code = 3, "a third text"
    RegionBrowser(image(), regions())
    assert second.comm is not None  # another cell's


def watched(folder, **options):
    """A monitor that looks only when it is told."""
    monitor = TrainingMonitor(folder, every=1000, **options)
    monitor._over.set()
    return monitor


def test_the_monitor_follows_a_history_that_grows(tmp_path):
    monitor = watched(tmp_path / "detector")
    assert monitor.runs[0]["rows"] == [] and "waiting" in monitor.state

    (tmp_path / "detector").mkdir()
    file = tmp_path / "detector" / "history.csv"
    file.write_text("step,loss,score\n10,0.5,\n")
    monitor.look()
    assert monitor.runs == [{"name": "detector", "columns": ["loss", "score"], "rows": [{"step": 10, "loss": 0.5}]}]

    file.write_text("step,loss,score\n10,0.5,\n20,0.25,7\n")
    monitor.look()
    assert monitor.runs[0]["rows"][-1] == {"step": 20, "loss": 0.25, "score": 7.0} and monitor.state == "step 20"
    monitor.close()


def test_a_long_history_is_thinned_but_keeps_its_last_row(tmp_path):
    pd.DataFrame({"step": range(1, 5002), "loss": 1.0}).to_csv(tmp_path / "history.csv", index=False)

    rows = watched(tmp_path).runs[0]["rows"]

    assert len(rows) <= 401 and rows[0]["step"] == 1 and rows[-1]["step"] == 5001


def test_the_stop_button_interrupts_the_training(tmp_path):
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background
    code += "try:\n    print('on', flush=True); time.sleep(900)\n"
    code += "except KeyboardInterrupt:\n    raise SystemExit(130)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    monitor = watched(tmp_path, process=process)
    assert monitor.stoppable and "running" in monitor.state

    monitor._hear(monitor, {"kind": "stop"}, [])
    assert process.wait(20) in (130, -signal.SIGINT)
    process.stdout.close()
    monitor.look()

    assert not monitor.stoppable and "stopped" in monitor.state


def test_a_new_checkpoint_speaks_once(tmp_path):
    model, other = captioner(0), captioner(1)
    before = {name: value.clone() for name, value in other.state_dict().items()}

    class Toy(SimpleNamespace):
        def describe(self, regions):
            caption = beam_search(self.model, collate_regions([regions]), DecodeConfig(maximum_words=4))[0][0]
            return SimpleNamespace(words=WORDS.decode(caption.words).split())

    calls = []
    say = say_with(Toy(model=other), {"kite": seen()})
    monitor = watched(tmp_path, samples=lambda folder: calls.append(1) or say(folder))
    assert monitor.samples == [] and calls == []

    torch.save({"model": model.state_dict(), "step": 7}, tmp_path / "checkpoint.pt")
    monitor.look()
    monitor.look()

    expected = Toy(model=model).describe(seen()).words
    assert monitor.samples == [f"step 7, kite: {' '.join(expected)}"] and len(calls) == 1
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_a_checkpoint_of_another_model_is_a_note_not_a_crash(tmp_path):
    torch.save({"model": {}, "step": 1}, tmp_path / "checkpoint.pt")

    monitor = watched(tmp_path, samples=say_with(SimpleNamespace(model=captioner()), {"kite": seen()}))

    assert monitor.note.startswith("no samples: ")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("step,loss\n10,0.5\n20,1,2,3\n", "line 3"), ("loss,score\n1,2\n", "no column step"), ("step\n\x00\xff", "")],
)
def test_a_history_that_cannot_be_read_is_told_and_read_again_later(tmp_path, broken, reason):

    def write(text):  # whole or not at all, as a training does
        (tmp_path / "draft").write_bytes(text.encode("latin-1"))
        (tmp_path / "draft").replace(tmp_path / "history.csv")

    write("step,loss\n10,0.5\n")
    monitor = TrainingMonitor(tmp_path, every=0.02)
    before = monitor.runs
    write(broken)

    wait_for(lambda: monitor.note)
    assert "cannot be read" in monitor.note and reason in monitor.note and monitor.runs == before
    write("step,loss\n10,0.5\n20,0.25\n")
    wait_for(lambda: not monitor.note)

    assert monitor._watcher.is_alive() and monitor.runs[0]["rows"][-1]["step"] == 20
    monitor.close()


def test_words_among_the_scores_are_left_out(tmp_path):
    (tmp_path / "history.csv").write_text("step,loss,host\n10,0.5,gpu1\n,0.4,gpu1\n30,late,gpu1\n")

    assert watched(tmp_path).runs[0]["rows"] == [{"step": 10, "loss": 0.5}, {"step": 30}]


def wait_for(that, seconds=20):
    """Until something is so."""
    late = time.monotonic() + seconds
    while not that() and time.monotonic() < late:
        time.sleep(0.02)


def test_the_monitor_looks_by_itself(tmp_path):
    monitor = TrainingMonitor(tmp_path, every=0.02)
    (tmp_path / "history.csv").write_text("step,loss\n10,0.5\n")

    wait_for(lambda: monitor.runs[0]["rows"])

    assert monitor.runs[0]["rows"]
    monitor.close()
    monitor._watcher.join(5)
    assert not monitor._watcher.is_alive()


@pytest.mark.parametrize("finished", ["compete", "collect"])
@pytest.mark.parametrize("seed", range(4))
def test_the_marked_way_of_the_tree_is_the_caption(seed, finished):
    model, cfg = captioner(seed), DecodeConfig(beam_size=3, maximum_words=6, finished=finished, no_repeat=False)

    nodes = search_tree(model, seen(), cfg, WORDS)

    best = beam_search(model, collate_regions([seen()]), cfg)[0][0]
    way = [node for node in nodes if node["best"]][1:]
    said = [WORDS.words[number] for number in best.words] + [STOP] * best.ended
    assert [node["word"] for node in way] == said
    assert way[-1]["total"] == pytest.approx(best.log_prob, abs=1e-4)
    for node in nodes[1:]:
        parent = nodes[node["parent"]]
        assert node["total"] == pytest.approx(parent["total"] + node["log_prob"], abs=1e-4)
        assert node["place"] == parent["place"] + 1 and parent["word"] != STOP
    for place in range(1, 7):
        assert sum(node["place"] == place for node in nodes) <= 3  # the beam's width


def test_a_tree_comes_from_a_speaker():
    speaker = SimpleNamespace(model=captioner(), vocabulary=WORDS, decode=DecodeConfig(beam_size=2, maximum_words=4),
                              see=lambda picture: seen())  # fmt: skip

    tree = BeamTree(speaker, image())

    assert tree.title.startswith("2 beams, ") and tree.nodes[0]["parent"] == -1


SCORES = pd.DataFrame({"image_id": np.int64([3, 4, 5]), "CIDEr": [0.5, np.nan, 2.0], "kind": ["a", "b", "a"],
                       "caption": ["one", "two", "three"]})  # fmt: skip


def test_scores_travel_as_plain_values():
    table = ScoreTable(SCORES, sort="CIDEr")

    assert table.rows == [[3, 0.5, "a", "one"], [4, None, "b", "two"], [5, 2.0, "a", "three"]]
    with pytest.raises(ValueError, match="no column 'BLEU'"):
        ScoreTable(SCORES, sort="BLEU")
    with pytest.raises(ValueError, match="empty"):
        ScoreTable(SCORES[:0])


def test_names_can_be_chosen_from_a_list_but_free_text_only_be_searched():
    lazy = ["a red kite over a blue sea"] * 6  # a model that says the same of every picture
    table = pd.DataFrame({"answer_type": ["number", "other"] * 3, "caption": [*lazy[:5], "a boat"],
                          "source": ["toy"] * 6, "answer": list("123455"), "CIDEr": [1.0] * 6})  # fmt: skip

    assert ScoreTable(table).choices == {"answer_type": ["number", "other"]}


@pytest.mark.parametrize(
    ("explore", "note"),
    [
        (lambda row: row["caption"] / 2, "TypeError: unsupported operand"),
        (lambda row: row["nonsense"], "KeyError: 'nonsense'"),
        (lambda row: None, "should return a widget to show; it returned NoneType"),
        (lambda row: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_whatever_goes_wrong_in_the_readers_function_is_told_and_the_table_lives(explore, note):
    browser = ErrorBrowser(SCORES, lambda row: ScoreTable(SCORES) if row["image_id"] == 5 else explore(row))

    browser.table.chosen = 0
    assert browser.children == (browser.table,) and note in browser.table.note
    browser.table.chosen = 2
    assert len(browser.children) == 2 and browser.table.note == ""


def test_the_error_browser_is_saved_as_its_table(tmp_path, monkeypatch):
    browser = ErrorBrowser(SCORES, lambda row: None)

    page = browser.save_html(tmp_path / "errors.html", "errors").read_text()

    assert "<title>errors</title>" in page and "three" in page
    monkeypatch.setenv("UPDOWN_SAVED_WIDGETS", "1")
    if hasattr(ipywidgets.VBox, "_repr_mimebundle_"):
        assert "srcdoc" in str(browser._repr_mimebundle_())
    monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)  # ipywidgets 7 has none
    assert browser._repr_mimebundle_() is None


def test_a_clicked_row_is_explored_and_the_last_one_closed():
    made = []

    def explore(row):
        if row["image_id"] == 4:
            raise ValueError("no picture 4")
        made.append(ScoreTable(SCORES))
        return made[-1]

    browser = ErrorBrowser(SCORES, explore)
    browser.table.chosen = 0
    assert browser.children == (browser.table, made[0])
    browser.table.chosen = 2
    assert browser.children == (browser.table, made[1]) and made[0].comm is None
    browser.table.chosen = 1
    assert browser.children == (browser.table,) and browser.table.note == "no picture 4"


def test_the_paper_figure_is_drawn_of_anything_the_explorer_shows():
    assert len(plot_attention(image(), panel()).axes) == 6
    both = plot_attention(image(), {"regions": panel(), "model": FakeSpeaker()})
    assert len(both.axes) == 6 + 3 and [text.get_text() for text in both.texts] == ["regions", "model"]
