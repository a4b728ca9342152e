"""A plan under torchrun: all processes train, the first one does everything else.

    torchrun --nproc-per-node 2 -m updown_lab train detector --out runs/big --preset paper

The stages, their fingerprints and their folders are those of a run without torchrun, because the number of processes
changes how fast a stage is trained and not what it learns (``training/distributed.py``).
"""

from pkgutil import resolve_name

from updown_lab.pipeline.stages import Plan, Stage, prepared, run_alone, run_stage
from updown_lab.training import distributed


def run_together(plan: Plan, workers: int) -> None:
    """Run all stages that are not done, one after the other, in the processes that torchrun started.

    Args:
        plan:    the stages; every process has the same.
        workers: processes at a time for the stages that the first one does alone.

    Raises:
        UpdownError: a stage failed, or one of the processes is gone.
        KeyboardInterrupt: after all processes have stopped at the same step and the first one has saved it.
    """
    with distributed.joined():
        for stage in plan.stages:
            if distributed.from_first(plan.is_done(stage)):
                continue
            needed = plan.upto(stage.name)
            if getattr(resolve_name(stage.function), "by_several", False):
                _train(needed, stage)
            else:
                distributed.first_alone(lambda needed=needed: run_alone(needed, workers))


def _train(plan: Plan, stage: Stage) -> None:
    """One stage in all processes; the first one holds the folder."""
    if not distributed.is_first():
        distributed.first_alone(lambda: None)
        run_stage(plan.order(stage))
        distributed.first_alone(lambda: None)
        return
    with prepared(plan):
        distributed.first_alone(lambda: None)
        run_stage(plan.order(stage))
        distributed.first_alone(lambda: None)
