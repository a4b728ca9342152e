"""Scores of a results file, and what this machine has."""

from updown_lab.commands.parsing import command
from updown_lab.errors import ConfigError


def add(commands) -> None:
    """evaluate, doctor."""
    judge = command(commands, "evaluate", evaluate, "score a results file with the official metrics")
    judge.add_argument("results", help="captions [{image_id, caption}] or answers [{question_id, answer}]; or vqa: all "
                       "VQA models of a run on its own test questions")  # fmt: skip
    judge.add_argument("--out", metavar="RUN", default="runs/quickstart", help="that run (default %(default)s)")
    judge.add_argument("--captions", help="COCO captions file with the references")
    judge.add_argument("--questions", help="VQA v2 questions file")
    judge.add_argument("--annotations", help="VQA v2 annotations file")
    command(commands, "doctor", doctor, "what this machine has: device, memory, Java, data")


def evaluate(options) -> None:
    """Score a results file."""
    from updown_lab.pipeline.scoring import score_file

    if options.results == "vqa":
        return evaluate_run(options)
    if not options.captions and not (options.questions and options.annotations):
        raise ConfigError("evaluate wants --captions FILE, or --questions FILE and --annotations FILE")
    for line in score_file(options.results, options.captions, options.questions, options.annotations):
        print(line)


def evaluate_run(options) -> None:
    """Score the VQA models of a run."""
    from updown_lab.pipeline.answering import score_run

    print("\n".join(score_run(options.out)))


def doctor(options) -> None:
    """What this machine has."""
    from updown_lab.pipeline.doctor import findings

    for name, finding in findings():
        print(f"{name:<12} {finding}")
