import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gancore import ComponentError
from gancore_spectral_norm.spectral_norm import SpectralNorm


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(16, 1))


def normalised(seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    return SpectralNorm(**options).network_built(small())


def sigma(weight: torch.Tensor, outputs: int = 0) -> float:
    """Largest singular value of a weight as a matrix, outputs first."""
    matrix = weight.detach().double().movedim(outputs, 0).flatten(1)
    return torch.linalg.svdvals(matrix)[0].item()


with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)  # the iteration is slow where two singular values happen to be close
    LAYERS = {
        "linear": (nn.Linear(6, 5), 0),
        "embedding": (nn.Embedding(7, 4), 0),
        "conv1d": (nn.Conv1d(3, 4, 3), 0),
        "conv2d": (nn.Conv2d(3, 4, 3), 0),
        "conv3d": (nn.Conv3d(2, 4, 3), 0),
        "transposed conv1d": (nn.ConvTranspose1d(3, 4, 3), 1),
        "transposed conv2d": (nn.ConvTranspose2d(3, 4, 3), 1),
        "transposed conv3d": (nn.ConvTranspose3d(2, 4, 3), 1),
    }


@pytest.mark.parametrize("name", LAYERS)
def test_the_largest_singular_value_approaches_one(name):
    layer, outputs = copy.deepcopy(LAYERS[name])
    with torch.no_grad():
        layer.weight.mul_(7.0)
    network = SpectralNorm().network_built(nn.Sequential(layer)).double()
    for _ in range(300):
        network[0].weight  # noqa: B018 - every access in training mode is a power iteration
    assert sigma(network[0].weight, outputs) == pytest.approx(1.0, abs=1e-6)


def test_it_is_the_weight_over_its_norm_not_another_matrix():
    network = normalised().eval()
    layer = network[3]
    original = layer.parametrizations.weight.original
    ratio = original / layer.weight
    torch.testing.assert_close(ratio, torch.full_like(ratio, sigma(original)), rtol=1e-3, atol=0)


def test_layers_without_a_matrix_are_left_alone():
    norm, prelu = nn.BatchNorm2d(4), nn.PReLU()
    network = SpectralNorm().network_built(nn.Sequential(nn.Conv2d(1, 4, 3), norm, prelu))
    assert is_parametrized(network[0], "weight")
    assert not is_parametrized(norm)
    assert not is_parametrized(prelu)


def test_layers_deep_inside_are_found():
    network = SpectralNorm().network_built(nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(2, 2)))))
    assert is_parametrized(network[0][0][0], "weight")


def test_the_network_itself_is_returned():
    network = small()
    assert SpectralNorm().network_built(network) is network


def test_the_optimizer_still_finds_one_parameter_per_weight():
    shapes = sorted(tuple(p.shape) for p in small().parameters())
    assert sorted(tuple(p.shape) for p in normalised().parameters()) == shapes


def test_in_training_mode_the_estimate_moves_and_in_eval_mode_it_rests():
    network, x = normalised(), torch.randn(2, 2, 4, 4)
    vectors = network[0].parametrizations.weight[0]._u
    with torch.no_grad():
        network[0].parametrizations.weight.original.normal_()
    before = vectors.clone()
    network.eval()(x)
    assert torch.equal(vectors, before)
    network.train()(x)
    assert not torch.equal(vectors, before)


def test_more_iterations_get_closer_in_one_forward():
    errors = []
    for iterations in (1, 30):
        network = normalised(iterations=iterations)
        with torch.no_grad():
            network[0].parametrizations.weight.original.normal_(generator=torch.Generator().manual_seed(3))
        errors.append(abs(sigma(network[0].weight) - 1))
    assert errors[1] < 1e-4 < errors[0]


def test_eps_reaches_the_layers():
    assert normalised(eps=1e-6)[0].parametrizations.weight[0].eps == 1e-6


def test_a_deep_copy_computes_the_same_and_is_independent():
    network = normalised()
    twin = copy.deepcopy(network)
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(network(x), twin(x))
    with torch.no_grad():
        twin[0].parametrizations.weight.original.mul_(0).add_(1)
    assert not torch.equal(network(x), twin(x))


def test_its_state_goes_into_a_freshly_built_network():
    network, x = normalised(seed=0), torch.randn(3, 2, 4, 4)
    for _ in range(3):
        network(x)
    fresh = normalised(seed=1)
    fresh.load_state_dict(network.state_dict())
    for _ in range(3):  # the power iterations go on from the same vectors
        assert torch.equal(fresh(x), network(x))
    assert all(type(value) is torch.Tensor for value in network.state_dict().values())


def test_gradient_penalties_differentiate_through_it_twice():
    network = normalised().double().eval()
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 4, 4, generator=rng, dtype=torch.float64)
    weight = network[3].parametrizations.weight.original

    def penalty() -> torch.Tensor:
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(point).sum(), point, create_graph=True)
        return slope.square().sum()

    (exact,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn(weight.shape, generator=rng, dtype=torch.float64)
    values = []
    for h in (1e-6, -1e-6):
        with torch.no_grad():
            weight.add_(h * direction)
        values.append(penalty().item())
        with torch.no_grad():
            weight.sub_(h * direction)
    assert (exact * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


def test_several_forwards_in_training_mode_share_one_backward():
    network = normalised()
    real, fake = torch.randn(2, 3, 2, 4, 4)
    (network(real).mean() - network(fake).mean()).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_it_can_be_built_on_the_meta_device():
    with torch.device("meta"):
        network = SpectralNorm().network_built(small())
        assert network(torch.empty(5, 2, 4, 4)).shape == (5, 1)
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in normalised().state_dict().items()
    }


def test_it_survives_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = normalised()(torch.randn(2, 2, 4, 4))
    score.float().sum().backward()
    assert score.isfinite().all()


def test_a_linear_stack_becomes_lipschitz():
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)], nn.Linear(8, 1))
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(5)
    network = SpectralNorm(iterations=50).network_built(network)
    x = torch.randn(64, 8)
    network(x)
    a, b = network.eval()(x), network(x.flip(0))
    assert ((a - b).abs().squeeze() <= 1.0001 * (x - x.flip(0)).norm(dim=1) + 1e-6).all()


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(ComponentError, match="Sequential has no linear"):
        SpectralNorm().network_built(nn.Sequential(nn.ReLU()))


def test_normalising_twice_is_refused_and_the_layer_named():
    network = normalised()
    with pytest.raises(ComponentError, match="layer '0' of Sequential is parametrized already"):
        SpectralNorm().network_built(network)


def test_a_weight_of_zeros_is_refused_because_it_would_become_nan():
    network = small()
    nn.init.zeros_(network[3].weight)
    with pytest.raises(ComponentError, match="layer '3' of Sequential is all zero"):
        SpectralNorm().network_built(network)


def test_it_is_for_d_unless_told_otherwise():
    assert SpectralNorm().on == "discriminator"
    assert SpectralNorm(on="both").on == "both"


@pytest.mark.parametrize("options", [{"iterations": 0}, {"eps": 0.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SpectralNorm(**options)
