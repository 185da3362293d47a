"""The processes that train together, each on its share of every batch (data parallelism over torch.distributed).

All of them draw the same order and the same latents and keep their own rows, so that a run does not depend on how many
share its work. Gradients are averaged explicitly, after the whole backward of a phase: penalties with double backward
and accumulation then need no special cases.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from attrs import frozen
from torch import Tensor

from gancore.errors import UserError
from gancore.training.streams import derive


@frozen
class Ranks:
    """This process's place among those that train together.

    Attributes:
        rank: in [0, size).
        size: how many there are; 1 is alone, and then nothing here costs anything.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """The place in torch.distributed's default group; alone where none was initialised."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def share(self, batch_size: int) -> slice:
        """This process's rows of a batch.

        Raises:
            UserError: the batch cannot be split evenly; the mean over processes would weigh samples unequally.
        """
        if batch_size % self.size:
            raise UserError(f"train.batch_size = {batch_size} cannot be split evenly over {self.size} processes")
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def seed(self, seed: int) -> int:
        """For streams that must differ between processes, such as augmentation; the first keeps the run's own."""
        return derive(seed, f"rank {self.rank}") if self.rank else seed

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their means over the processes: one flat all-reduce."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.average(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])

    def average(self, value: Tensor) -> Tensor:
        """The mean over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
            value.div_(self.size)
        return value


ALONE = Ranks()
