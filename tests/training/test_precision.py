"""torch's global switches, as a run sets them around what it computes on a GPU. Flags can be read without one."""

import pytest
import torch

from gancore.training.precision import Precision

CUDA = torch.device("cuda")


def switches():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark


@pytest.mark.parametrize(
    ("precision", "inside"),
    [
        (Precision("fp32", CUDA), (False, False, True, False)),
        (Precision("bf16", CUDA), (False, False, True, False)),
        (Precision("tf32", CUDA), (True, True, True, False)),
        (Precision("fp32", CUDA, deterministic=False), (False, False, False, True)),
    ],
)
def test_a_run_has_its_own_and_gives_the_callers_back(precision, inside):
    before = switches()
    with precision.applied():
        assert switches() == inside
    assert switches() == before


def test_on_the_cpu_nothing_is_switched():
    before = switches()
    with Precision("tf32", torch.device("cpu"), deterministic=False).applied():
        assert switches() == before
