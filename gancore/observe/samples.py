"""Sample grids: the same latents, drawn again and again while G learns."""

from attrs.validators import optional

from gancore.components import component, ge, option
from gancore.contracts import Run
from gancore.observe.grid import picture, save


@component
class Samples:
    """Writes samples/step-<n>.png: fakes of the EMA generator from latents that stay the same.

    Images make a grid (labels, if there are any, count through the classes); vectors make a scatter plot over reals.
    """

    every: int = option(500, "Steps between two pictures.", ge(1))
    n: int | None = option(None, "Fakes in a picture; by default 64 images or 2,000 vectors.", optional(ge(1)))
    seed: int = option(0, "Seed of the latents.", ge(0))

    def stepped(self, run: Run) -> None:
        folder = run.folder / "samples"
        folder.mkdir(exist_ok=True)
        n = self.n or (64 if run.data.is_image else 2000)
        fakes = run.sample(*run.latents(n, self.seed))
        save(picture(fakes, run.data, None if run.data.is_image else run.reals(n)), folder / f"step-{run.step:08d}.png")
