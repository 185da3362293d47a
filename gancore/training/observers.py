"""The callbacks of a run, told of its moments. Observers do not decide over a run: one that fails is switched off."""

import errno
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from gancore.contracts import Ending, Noticed, Stepped, TrainEnded
from gancore.errors import GancoreError, RunFolderError

if TYPE_CHECKING:
    from gancore.training.run import Run

FULL = (errno.ENOSPC, errno.EDQUOT)


@define(eq=False)
class Observers:
    """
    Attributes:
        callbacks: by the key that names them in checkpoints.
        strict: one that fails ends the run; otherwise it is switched off.
    """

    callbacks: Mapping[str, Any] = field(factory=dict)
    strict: bool = False
    _switched_off: set[str] = field(factory=set, init=False)
    _has: dict[tuple[int, type[Any]], tuple[Any, bool]] = field(factory=dict, init=False)

    def tell(self, run: "Run", moment: type[Any], call: Callable[[Any], None], *, due: bool = False) -> None:
        """Call all callbacks that have this moment; `due`: those whose `every` divides the step, and all at the last:
        what they write then stands there before a checkpoint says that nothing is left to do."""
        for key, callback in self.callbacks.items():
            if (
                key in self._switched_off
                or not self._is(callback, moment)
                or (due and run.step % callback.every and run.step != run.steps)
            ):
                continue
            with self._survived(run, key):
                call(callback)

    def _is(self, callback: Any, moment: type[Any]) -> bool:
        """Whether it has this moment. Asking a Protocol is slow; once is enough."""
        asked = id(callback), moment
        if asked not in self._has:
            self._has[asked] = callback, isinstance(callback, moment)  # held, so that no other has its id
        return self._has[asked][1]

    def notice(self, run: "Run", notice: str) -> None:
        """Say one line to the user: through the callbacks that show notices, else through `logging`."""
        shown = False
        for key, callback in self.callbacks.items():
            if self._is(callback, Noticed) and key not in self._switched_off:
                with self._survived(run, key):
                    callback.noticed(run, notice)
                    shown = True
        if not shown:
            logging.getLogger("gancore").warning(notice)

    def end(self, run: "Run", ending: Ending) -> None:
        """Tell all callbacks, the last first (the final checkpoint before the last word), also if one of them
        raises."""
        with ExitStack() as stack:
            for key, callback in self.callbacks.items():
                if isinstance(callback, TrainEnded):
                    stack.callback(self._farewell, run, key, callback, ending)

    def rhythms(self) -> list[int]:
        """Every how many steps somebody wants to look."""
        return [callback.every for callback in self.callbacks.values() if isinstance(callback, Stepped)]

    @contextmanager
    def _survived(self, run: "Run", key: str) -> Iterator[None]:
        """Errors of ours are meant to end a run, and so is a full disk: what cannot be recorded would be lost. Any
        other error of a stranger is not."""
        try:
            yield
        except GancoreError:
            raise
        except Exception as error:
            if "DataLoader worker" in str(error):  # torch raises that wherever this process happens to be
                raise
            if isinstance(error, OSError) and error.errno in FULL:
                raise RunFolderError(f"cannot be written: {error.strerror}", run.folder) from error
            if self.strict:
                raise
            if key in self._switched_off:  # said already
                return
            self._switched_off.add(key)
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.notice(
                run,
                f"callback {key!r} failed and is switched off: {type(error).__name__}: {error} "
                f"({place.filename}:{place.lineno}); train.strict = true would end the run",
            )

    def _farewell(self, run: "Run", key: str, callback: Any, ending: Ending) -> None:
        with self._survived(run, key):
            callback.train_ended(run, ending)
