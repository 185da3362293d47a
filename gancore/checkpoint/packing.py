"""The JSON tree of a state, and its tensors. `$` marks what JSON has no word for."""

from typing import Any

import torch

_RESERVED = "__metadata__"  # safetensors' own key among the tensors' names


def pack(state: dict[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    """The tree, and copies on the CPU of the tensors that it refers to, by their path.

    Raises:
        TypeError: the state holds something that is neither a tensor nor JSON.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _pack(state, "", tensors), tensors


def unpack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The state of a tree.

    Raises:
        KeyError, TypeError, ValueError: it is no tree of `pack`'s.
    """
    if isinstance(tree, list):
        return [unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    if "$tuple" in tree:
        return tuple(unpack(item, tensors) for item in tree["$tuple"])
    if "$items" in tree:
        return {key: unpack(item, tensors) for key, item in tree["$items"]}
    return {key: unpack(item, tensors) for key, item in tree.items()}


def _pack(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = path
        while name in tensors or name == _RESERVED:  # "a/b" may be one key or two
            name += "'"
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": name}
    if isinstance(value, dict):
        for key in value:
            if key is not None and not isinstance(key, bool | int | float | str):
                raise TypeError(f"the state at {path or 'its root'} has a {type(key).__name__} as a key")
        items = [(key, _pack(item, f"{path}/{key}" if path else str(key), tensors)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(items)
        return {"$items": [[key, item] for key, item in items]}
    if isinstance(value, list | tuple):
        packed = [_pack(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
        return packed if isinstance(value, list) else {"$tuple": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"the state at {path} holds a {type(value).__name__}; a checkpoint takes tensors and plain JSON values"
    )
