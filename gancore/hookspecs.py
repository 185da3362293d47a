"""Every hook: what a plugin can bring to gancore.

A plugin is a module (or any object) named by an entry point in the group `gancore`. It implements the hooks it wants
with `@gancore.hookimpl`; each returns the components it offers of one kind. Installed is not active: a component runs
only in an experiment that names it, and its module is imported only then.
"""

from collections.abc import Iterable

import pluggy

from gancore.components import Component

PROJECT = "gancore"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gancore_models() -> Iterable[Component]:
    """Offer models: pairs of generator and discriminator. Selected by `[model]`, `[generator]`, `[discriminator]`.

    Contract: `gancore.contracts.Model`.
    """
    raise NotImplementedError


@hookspec
def gancore_losses() -> Iterable[Component]:
    """Offer losses: what G and D minimise, as functions of scores. Selected by `[loss]`.

    Contract: `gancore.contracts.Loss`.
    """
    raise NotImplementedError


@hookspec
def gancore_optimizers() -> Iterable[Component]:
    """Offer optimizers with their learning-rate schedules. Selected by `[optimizer]` or per network.

    Contract: `gancore.contracts.Optimizer`.
    """
    raise NotImplementedError


@hookspec
def gancore_regularizers() -> Iterable[Component]:
    """Offer regularizers: penalties, clipping, normalization, augmentation. Selected by `[[regularizer]]`.

    A regularizer has an option `on`, a subset of discriminator, generator and both. The engine makes one instance per
    network, so that state needs no bookkeeping. Order is that of the file.

    Contract: any of the moments in `gancore.contracts`: `NetworkBuilt`, `DiscriminatorInputs`, `Penalty`,
    `GradientsReady`, `ParametersUpdated`.
    """
    raise NotImplementedError


@hookspec
def gancore_datasets() -> Iterable[Component]:
    """Offer data sets of real samples. Selected by `[data]`.

    Contract: `gancore.contracts.Dataset`.
    """
    raise NotImplementedError


@hookspec
def gancore_metrics() -> Iterable[Component]:
    """Offer metrics: from reals and fakes to numbers. Selected by `[[metric]]`.

    Contract: `gancore.contracts.Metric`.
    """
    raise NotImplementedError


@hookspec
def gancore_callbacks() -> Iterable[Component]:
    """Offer callbacks: observers between steps. Selected by `[[callback]]`.

    A callback that raises is switched off for the rest of the run, which goes on and says so (unless `[train] strict`);
    it still hears the end. The engine's own errors (`gancore.GancoreError`) end the run: they are meant to.

    Contract: any of the moments in `gancore.contracts`: `TrainStarted`, `Logged`, `Stepped`, `Noticed`,
    `Probed`, `TrainEnded`.
    """
    raise NotImplementedError


@hookspec
def gancore_rules() -> Iterable[Component]:
    """Offer rules: what is wrong with a game, judged by what the probe measures. Selected by `[health.<name>]`.

    The engine's own rules always judge, unless `[health] ignore` names them; another plugin's judge in experiments
    that have a table for them, which may be empty.

    Contract: any of the moments in `gancore.contracts`: `Judges`, `Lints`.
    """
    raise NotImplementedError
