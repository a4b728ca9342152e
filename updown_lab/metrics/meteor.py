"""METEOR 1.5: its own Java program, started early, fed without waiting, and ended whatever happens."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pycocoevalcap

from updown_lab.metrics.java import JavaFailed, java_environment

_FOLDER = Path(pycocoevalcap.__path__[0]) / "meteor"
_BAR = " ||| "  # what the program takes for the end of a sentence


class Meteor:
    """A running METEOR program; see ``meteor_started``.

    Words match as they are, by stem, by synonym and by paraphrase; the score is a mean of precision and recall, less
    for matches in many pieces (Denkowski and Lavie 2014). It reads 61 MB of paraphrases before it speaks,
    so start it first and do something else meanwhile.
    """

    def __init__(self):
        # Not a pipe: one that nobody empties could fill up and stop the program. ``close`` closes it.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        with java_environment() as java:
            command = [str(java), "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
            self.process = subprocess.Popen(
                command, cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
                encoding="utf-8",
            )  # fmt: skip

    def score(
        self, candidates: Mapping[int, Sequence[str]], references: Mapping[int, Sequence[str]]
    ) -> dict[str, tuple[float, list[float]]]:
        """Score captions that are split into words.

        Args:
            candidates: {image_id: [caption]}.
            references: {image_id: captions people wrote}.

        Returns:
            {"METEOR": (corpus score, scores in the order of the candidates)}. The corpus score pools the statistics of
            all images.

        Raises:
            JavaFailed: the program broke; the message holds what it said.
        """
        lines = [_line(captions[0], references[image]) for image, captions in candidates.items()]
        try:
            statistics = self._ask(lines, len(lines), str.strip)
            *each, corpus = self._ask([_BAR.join(["EVAL", *statistics])], len(lines) + 1, float)
        except (ValueError, OSError) as error:
            raise JavaFailed(f"METEOR broke ({error}); Java said: {self._said()}") from error
        return {"METEOR": (corpus, each)}

    def close(self) -> None:
        """End the program."""
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self._complaints):
            with suppress(OSError):  # what was not sent yet cannot be sent any more
                file.close()

    def _ask(self, lines: Sequence[str], answers: int, read: Callable[[str], object]) -> list:
        """Send lines while the answers are read: asking one by one would wait for Python 5,000 times."""
        sender = Thread(target=self._send, args=(lines,), daemon=True)
        sender.start()
        said = []
        for _ in range(answers):
            line = self.process.stdout.readline()
            if not line:
                raise ValueError(f"it stopped after {len(said)} of {answers} answers")
            said.append(read(line))  # at once: after nonsense no further answer may come
        sender.join()
        return said

    def _send(self, lines: Sequence[str]) -> None:
        with suppress(OSError, ValueError):  # if the program is gone, the reader of its answers will tell
            for line in lines:
                self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _said(self) -> str:
        self.process.kill()
        self.process.wait()
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()[-500:] or "nothing"


@contextmanager
def meteor_started(wanted: object = True) -> Iterator[Meteor | None]:
    """METEOR's program, which ends with the block; None if it is not wanted.

    Raises:
        DataMissing: there is no Java.
    """
    if not wanted:
        yield None
        return
    scorer = Meteor()
    try:
        yield scorer
    finally:
        scorer.close()


def _line(said: str, people: Sequence[str]) -> str:
    # As pycocoevalcap does it: bars would end the sentence.
    return _BAR.join(["SCORE", *people, said.replace("|||", "").replace("  ", " ")])
