"""gancore: a plugin-based GAN trainer that tells you where the gradient died.

Names for plugin authors and script writers, resolved on first use: importing gancore must not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gancore.assemble import load as load
    from gancore.components import Component as Component
    from gancore.components import component as component
    from gancore.components import ge as ge
    from gancore.components import gt as gt
    from gancore.components import le as le
    from gancore.components import lt as lt
    from gancore.components import max_len as max_len
    from gancore.components import min_len as min_len
    from gancore.components import option as option
    from gancore.components import required as required
    from gancore.components import state as state
    from gancore.contracts import Change as Change
    from gancore.contracts import Companion as Companion
    from gancore.contracts import Context as Context
    from gancore.contracts import DataSpec as DataSpec
    from gancore.contracts import Ending as Ending
    from gancore.contracts import Facts as Facts
    from gancore.contracts import Finding as Finding
    from gancore.contracts import History as History
    from gancore.contracts import On as On
    from gancore.contracts import Phase as Phase
    from gancore.contracts import Role as Role
    from gancore.contracts import Run as Run
    from gancore.contracts import Vitals as Vitals
    from gancore.errors import ComponentError as ComponentError
    from gancore.errors import DataError as DataError
    from gancore.errors import ExperimentError as ExperimentError
    from gancore.errors import GancoreError as GancoreError
    from gancore.errors import RunFailed as RunFailed
    from gancore.errors import RunFolderError as RunFolderError
    from gancore.errors import UserError as UserError
    from gancore.hookspecs import hookimpl as hookimpl

__version__ = "0.1.0"

_HOME = {
    "assemble": ["load"],
    "components": [
        "Component", "component", "ge", "gt", "le", "lt", "max_len", "min_len", "option", "required", "state",
    ],
    "contracts": [
        "Change", "Companion", "Context", "DataSpec", "Ending", "Facts", "Finding", "History", "On", "Phase", "Role",
        "Run", "Vitals",
    ],
    "errors": [
        "ComponentError", "DataError", "ExperimentError", "GancoreError", "RunFailed", "RunFolderError", "UserError",
    ],
    "hookspecs": ["hookimpl"],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gancore' has no attribute {name!r}")
    value = getattr(import_module(f"gancore.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
