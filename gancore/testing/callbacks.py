"""What every callback has to hold."""

from gancore.contracts import Logged, Stepped, TrainEnded, TrainStarted
from gancore.testing.kit import Subject, Violation


def has_a_moment(subject: Subject) -> None:
    component = subject.create()
    if hasattr(component, "stepped") and not isinstance(component, Stepped):
        raise Violation(
            f"{subject}: has stepped() but no option `every`, so it is never called; write every: int = "
            "option(100, ...)"
        )
    if not isinstance(component, TrainStarted | Logged | Stepped | TrainEnded):
        raise Violation(
            f"{subject}: has none of the methods train_started, logged, stepped, train_ended, so it never acts"
        )


def rhythm_is_a_number_of_steps(subject: Subject) -> None:
    component = subject.create()
    if isinstance(component, Stepped) and (type(component.every) is not int or component.every < 1):
        raise Violation(f"{subject}: `every` is {component.every!r}; make it an option of type int with ge(1)")


CHECKS = (has_a_moment, rhythm_is_a_number_of_steps)
