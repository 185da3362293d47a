"""From TOML text to an `Experiment`: one direction, no torch of our own.

document   bytes -> tables (toml), with the line and column of every key and value (locate) and `--set` applied
           (override)
structure  one table -> the options of a component class, strictly, all mistakes at once
read       the whole file -> Experiment
schema     what is installed -> JSON Schema, for editors
write      Experiment -> TOML again, with everything spelled out
path, plain   how messages name a place and quote a text
"""

from gancore.experiment.read import read
from gancore.experiment.tables import Experiment, Health, Log, Selection, Train

__all__ = ["Experiment", "Health", "Log", "Selection", "Train", "read"]
