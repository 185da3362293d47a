"""Trainers that are started once and train to their end, held between two batches."""

from collections.abc import Callable, Iterator
from threading import Semaphore, Thread
from typing import Any

import torch

ENDLESS = 10**9


class Held:
    """Runs `train(self)` in a thread of its own; to the trainer this is a loader of endless length.

    The clock wants some steps at a time, the trainers keep control until they are through. So each goes through its own
    loop, unchanged, and waits where it asks for a batch that it may not have yet: start, end, checkpoints and pictures
    of an epoch are outside the clock, and of its loop nothing is. Either this thread or the other waits, always.
    """

    def __init__(self, train: Callable[["Held"], None], batches: Iterator[Any], batch_size: int) -> None:
        self.batch_size = batch_size
        self._train, self._batches = train, batches
        self._allowed, self._through = Semaphore(0), Semaphore(0)
        self._left = 0
        self._threads = torch.get_num_threads()  # a new thread may begin with another number
        self._thread: Thread | None = None
        self._failure: BaseException | None = None

    def advance(self, batches: int) -> None:
        """Let the trainer have so many batches, and wait until it asks for more."""
        self._left = batches
        if self._thread is None:
            # Daemon: held trainers are left behind at the end.
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._allowed.release()
        self._through.acquire()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            self._train(self)
            self._failure = RuntimeError("the trainer ended before it was through with its batches")
        except BaseException as failure:
            self._failure = failure
        self._through.release()

    def __iter__(self) -> "Held":
        return self

    def __next__(self) -> Any:
        if self._left == 0:
            self._through.release()
            self._allowed.acquire()
        self._left -= 1
        return next(self._batches)

    def __len__(self) -> int:
        return ENDLESS
