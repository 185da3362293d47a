"""Gradient health: where in the chain from the loss to G's first layer the gradient dies, why, and what to change.

layers     the back-propagated signal at every layer of one network
measures   what is measured of scores and samples, as plain functions of tensors
taps       those of one phase: the three factors, balance, diversity, steps against weights
reading    what they have measured, left on the device until somebody looks
probe      hands out taps, and makes one account of a step of what they have measured
history    what earlier probes have shown, smoothed
rules/     one finding a file: threshold, cause, remedy; ordinary components, offered like any plugin's
remedies   what a change of the experiment looks like
doctor     asks the rules, and believes what holds for some time
"""

from collections.abc import Iterable

from gancore.components import Component
from gancore.hookspecs import hookimpl

# Name, class in a module of the rule's name, summary.
_RULES = (
    ("loss-saturated", "LossSaturated", "The loss is flat at D's scores, so G hears nothing (A)."),
    ("critic-flat", "CriticFlat", "D is flat where the fakes are, so its gradient says nothing (B)."),
    ("critic-steep", "CriticSteep", "D is too steep where the fakes are (B)."),
    ("vanishing-depth", "VanishingDepth", "A network's depth eats the gradient (C)."),
    ("exploding", "Exploding", "Gradients grow far beyond their own history, or over depth."),
    ("lr-too-high", "LrTooHigh", "Updates are too large a share of the weights."),
    ("lr-too-low", "LrTooLow", "Updates are too small a share of the weights."),
    ("d-dominates", "DDominates", "D tells reals from fakes too easily for G to learn."),
    ("g-dominates", "GDominates", "D prefers fakes to reals for a long time."),
    ("d-overfits", "DOverfits", "D knows its training reals by heart ([train] held_out)."),
    ("mode-collapse", "ModeCollapse", "Fakes are much more alike than reals."),
    ("dead-units", "DeadUnits", "Units that no gradient reaches any more."),
    ("penalty-imbalance", "PenaltyImbalance", "A penalty that drowns the loss, or does nothing."),
    ("batch-norm-with-penalty", "BatchNormWithPenalty", "Penalties per sample on a D that mixes samples."),
    ("sigmoid-on-logits", "SigmoidOnLogits", "D ends in a sigmoid, but losses take logits."),
    ("signs-without-boundary", "SignsWithoutBoundary", "Signs of scores with a loss that has no boundary at 0."),
    ("lazy-without-correction", "LazyWithoutCorrection", "A lazy penalty that the optimizer ignores."),
    ("momentum-with-wgan-gp", "MomentumWithWganGp", "A high beta1 under a gradient penalty."),
    ("single-sample-batch", "SingleSampleBatch", "Batch norm needs more than one sample."),
    ("output-range", "OutputRange", "G's last activation cannot reach the range of the data."),
)


@hookimpl
def gancore_rules() -> Iterable[Component]:
    return [
        Component(name, f"gancore.health.rules.{name.replace('-', '_')}:{cls}", summary)
        for name, cls, summary in _RULES
    ]
