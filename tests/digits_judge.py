"""A judge of generated digits: a small classifier, trained on the real ones, and the numbers it gives to fakes."""

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


@frozen
class Verdict:
    """What the judge says of a batch of fakes.

    Attributes:
        score: exp E KL(p(y|x) || p(y)), the inception score with this classifier; 10 is perfect.
        confident: share of fakes called some digit with probability over 0.9.
        rarest: share of the class that is called least often.
        frechet: Frechet distance between Gaussians fitted to the features of reals and of fakes.
    """

    score: float
    confident: float
    rarest: float
    frechet: float


class Judge:
    """Trained on four fifths of the reals; `accuracy` is that on the rest.

    Args:
        images: uint8 `(N, 1, H, W)`. labels: `(N,)`.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        x = images.float() / 127.5 - 1
        held_out = torch.arange(len(x)) % 5 == 0
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(
                nn.Flatten(),
                nn.Linear(images[0].numel(), 128),
                nn.ReLU(),
                nn.Dropout(0.3),
                nn.Linear(128, 64),
                nn.ReLU(),
            )
            self.head = nn.Linear(64, 10)
            optimizer = torch.optim.Adam([*self.features.parameters(), *self.head.parameters()], lr=2e-3)
            train_x, train_y = x[~held_out], labels[~held_out]
            for _ in range(60):
                for batch in torch.randperm(len(train_x)).split(64):
                    optimizer.zero_grad()
                    cross_entropy(self.head(self.features(train_x[batch])), train_y[batch]).backward()
                    optimizer.step()
        self.features.eval()
        with torch.no_grad():
            predicted = self.head(self.features(x[held_out])).argmax(1)
            self.accuracy = float((predicted == labels[held_out]).float().mean())
            self._reals = self.features(x)

    @torch.no_grad()
    def verdict(self, fakes: Tensor) -> Verdict:
        """Judge fakes `(N, 1, H, W)` in [-1, 1]."""
        features = self.features(fakes)
        p = self.head(features).softmax(1).double()
        marginal = p.mean(0)
        kl = (p * ((p + 1e-12).log() - (marginal + 1e-12).log())).sum(1).mean()
        shares = torch.bincount(p.argmax(1), minlength=10) / len(p)
        return Verdict(
            score=float(kl.exp()),
            confident=float((p.max(1).values > 0.9).float().mean()),
            rarest=float(shares.min()),
            frechet=frechet_distance(self._reals, features),
        )


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """||mean a - mean b||^2 + tr(A + B - 2 (A B)^1/2) of Gaussians fitted to `(N, D)` samples (Heusel et al. 2017, eq.
    6)."""
    a, b = a.double(), b.double()
    A, B = a.T.cov(), b.T.cov()
    # The trace of (A B)^1/2 is the sum of the roots of A B's eigenvalues, which are real and not negative.
    root = torch.linalg.eigvals(A @ B).real.clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + A.trace() + B.trace() - 2 * root)
