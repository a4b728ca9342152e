"""Assignments for a class: build the student versions, grade what comes back, tell students what to look at."""

from updown_lab.commands.parsing import command
from updown_lab.errors import ConfigError


def add(commands) -> None:
    """coursework build, grade, feedback."""
    text = "assignments for a class, with nbgrader: build, grade, feedback"
    family = commands.add_parser("coursework", help=text, description=text, epilog="See docs/instructor.md.")
    actions = family.add_subparsers(dest="action", required=True, metavar="ACTION")

    making = command(actions, "build", build, "make the student versions")
    making.add_argument("assignments", nargs="*", metavar="NAME", help="A1, A2, … (default: all)")
    making.add_argument("--source", default="coursework/source", help="folder of the sources (default %(default)s)")

    grading = command(actions, "grade", grade, "run what students handed in, and count points")
    grading.add_argument("assignment", metavar="NAME", help="A1, A2, …")
    grading.add_argument("--here", action="store_true",
                         help="yes, run the students' code on this machine: a container, or I trust it")  # fmt: skip
    grading.add_argument("--give", action="append", default=[], metavar="CELL=POINTS",
                         help="points that a person gives to --student; runs nothing; may be repeated")  # fmt: skip

    telling = command(actions, "feedback", feedback, "make a page for each student (it shows hidden tests)")
    telling.add_argument("assignment", metavar="NAME", help="A1, A2, …")

    for parser in (making, grading, telling):
        parser.add_argument("--course", default="runs/coursework", help="the course folder (default %(default)s)")
    for parser in (grading, telling):
        parser.add_argument("--student", default="*", help="one of them (default: all)")


def build(options) -> None:
    """Make student versions."""
    from updown_lab.coursework import course
    from updown_lab.coursework.sources import assignments, find_source

    names = options.assignments or assignments(options.source)
    if not names:
        find_source(options.source, "A1")  # says what is missing
    for name in names:
        print(course.build(options.course, options.source, name))


def grade(options) -> None:
    """Run and count, or write down what a person gives."""
    from updown_lab.coursework import course

    if options.give:
        if options.student == "*":
            raise ConfigError("--give wants a --student")
        for cell, score in map(_pair, options.give):
            table = course.give(options.course, options.assignment, options.student, cell, score)
    elif options.here:
        table = course.grade(options.course, options.assignment, options.student)
    else:
        raise ConfigError("grading runs the students' code, which can do all that you can. Run it in a container (the "
                          "command stands in docs/instructor.md), and say --here there")  # fmt: skip
    for student, row in course.totals(table).iterrows():
        waits = f", {row['waits']:.0f} answer(s) wait to be read" if row["waits"] else ""
        print(f"{student:<20} {row['points']:g} of {row['of']:g}{waits}")


def feedback(options) -> None:
    """A page a student."""
    from updown_lab.coursework import course

    for page in course.feedback(options.course, options.assignment, options.student):
        print(page)


def _pair(given: str) -> tuple[str, float]:
    cell, _, score = given.partition("=")
    try:
        return cell, float(score)
    except ValueError:
        raise ConfigError(f"--give wants CELL=POINTS, got {given!r}") from None
