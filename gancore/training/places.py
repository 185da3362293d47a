"""Where a batch is wanted: a graph reads the same tensors in every step, and what is drawn right into them need not be
copied."""

from torch import Tensor

Places = tuple[Tensor | None, Tensor | None]
"""Of samples or latents, and of their labels; None where any tensor will do."""

ANYWHERE: Places = (None, None)
