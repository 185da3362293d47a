"""Checkpoints: a folder per step that either exists whole or not at all, and that nothing can execute from.

    checkpoints/step-00002000/tensors.safetensors   every tensor of the state
                              state.json            its tree, with references to the tensors
                              experiment.toml       the resolved experiment, with the versions of all plugins
                              manifest.json         format, step, versions; size and SHA-256 of the others, and its own

Written under a temporary name, synced, verified, then renamed. Verified again on every load. A checkpoint that is
written again is called `step-<n>.old` until its successor has taken its name.
"""

from gancore.checkpoint.files import described as described
from gancore.checkpoint.files import load as load
from gancore.checkpoint.files import verify as verify
from gancore.checkpoint.files import write as write
from gancore.checkpoint.lock import locked as locked
from gancore.checkpoint.manifest import FORMAT as FORMAT
from gancore.checkpoint.manifest import Manifest as Manifest
from gancore.checkpoint.shelf import best as best
from gancore.checkpoint.shelf import folders as folders
from gancore.checkpoint.shelf import load_latest as load_latest
from gancore.checkpoint.shelf import prune as prune
from gancore.checkpoint.shelf import save as save
from gancore.checkpoint.shelf import set_aside as set_aside
from gancore.checkpoint.shelf import step_of as step_of
