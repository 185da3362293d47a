"""The model mlp: shapes, ranges, gradients, labels and what its options do."""

from itertools import product

import pytest
import torch
from torch import nn

from gancore import ComponentError, DataSpec
from gancore_mlp.mlp import Mlp

IMAGES = DataSpec((3, 4, 5), classes=7)
VECTORS = DataSpec((6,), classes=7, range=None)
SMALL = {"latent_dim": 8, "hidden": (12, 20), "embedding_dim": 3}
ACTIVATIONS = ["relu", "leaky-relu", "prelu", "elu", "tanh", "sigmoid"]
NORMS = ["none", "batch", "layer"]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def both(data, **options):
    model = Mlp(**{**SMALL, **options})
    return model.generator(data), model.discriminator(data)


def linears(network):
    return [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]


# ----------------------------------------------------------------------------------------- shapes and ranges


@pytest.mark.parametrize("data", [IMAGES, VECTORS, DataSpec((1, 28, 28))])
@pytest.mark.parametrize("n", [1, 5])
def test_shapes(data, n):
    G, D = both(data)
    x = G(torch.randn(n, 8))
    assert x.shape == (n, *data.shape)
    assert D(x).shape == (n,)


def test_layer_widths_and_their_reverse_in_d():
    G, D = both(IMAGES)
    assert linears(G) == [(8, 12), (12, 20), (20, 60)]
    assert linears(D) == [(60, 20), (20, 12), (12, 1)]


def test_d_can_have_widths_of_its_own():
    assert linears(both(VECTORS, discriminator_hidden=(9,))[1]) == [(6, 9), (9, 1)]


def test_without_hidden_layers_the_networks_are_linear():
    G, D = both(VECTORS, hidden=())
    assert (linears(G), linears(D)) == ([(8, 6)], [(6, 1)])


def test_defaults():
    model = Mlp()
    assert model.latent_dim == 64
    assert linears(model.generator(DataSpec((1, 8, 8)))) == [(64, 256), (256, 512), (512, 64)]


@pytest.mark.parametrize(("bounds", "low", "high"), [((-1.0, 1.0), -1, 1), ((0.0, 1.0), 0, 1), ((-3.0, 5.0), -3, 5)])
def test_output_fills_the_range_of_the_data_and_no_more(bounds, low, high):
    G, _ = both(DataSpec((6,), range=bounds))
    x = G(100 * torch.randn(200, 8))
    assert x.min().item() == pytest.approx(low, abs=1e-5)
    assert x.max().item() == pytest.approx(high, abs=1e-5)


def test_zero_before_the_output_is_the_middle_of_the_range():
    G, _ = both(DataSpec((2,), range=(-3.0, 5.0)), init="normal")
    assert G(torch.zeros(1, 8)).tolist() == [[1.0, 1.0]]


def test_without_a_range_the_output_is_linear():
    G = both(VECTORS, hidden=())[0].double()
    z = torch.randn(3, 8, dtype=torch.float64)
    middle = G(torch.zeros_like(z))
    torch.testing.assert_close(G(1000 * z) - middle, 1000 * (G(z) - middle))


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("activation", "norm", "conditional"), list(product(ACTIVATIONS, NORMS, [False, True])), ids=str
)
def test_finite_gradients_reach_every_parameter(activation, norm, conditional):
    G, D = both(IMAGES, activation=activation, norm=norm, discriminator_norm=norm, conditional=conditional)
    y = torch.arange(14) % 7
    D(G(torch.randn(14, 8), y), y).square().sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_score_has_a_second_derivative_for_gradient_penalties(activation, norm):
    D = Mlp(hidden=(4, 3), activation=activation, discriminator_norm=norm).discriminator(DataSpec((5,))).double()
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(D, (x,))


# ----------------------------------------------------------------------------------------- what options mean


def test_score_is_the_formula():
    D = Mlp(hidden=(2,)).discriminator(DataSpec((2,))).double()
    with torch.no_grad():
        D.layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
        D.layers[0].bias.copy_(torch.tensor([0.5, -10.0]))
        D.layers[2].weight.copy_(torch.tensor([[2.0, 1.0]]))
        D.layers[2].bias.fill_(0.25)
    # Hidden: 1 + 4 + 0.5 = 5.5 and 3 - 2 - 10 = -9, leaky to -1.8; score: 11 - 1.8 + 0.25.
    assert D(torch.tensor([[1.0, 2.0]], dtype=torch.float64)).item() == pytest.approx(9.45, abs=1e-12)


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm), ("none", ())],
    ids=["batch", "layer", "none"],
)
def test_norm_stands_between_linear_and_activation(norm, layer):
    G, D = both(IMAGES, norm=norm, discriminator_norm=norm)
    for network in (G, D):
        kinds = [type(module) for module in network.layers][:3]
        if layer == ():
            assert kinds == [nn.Linear, nn.LeakyReLU, nn.Linear]
        else:
            assert kinds == [nn.Linear, layer, nn.LeakyReLU]
            assert sum(isinstance(module, layer) for module in network.modules()) == 2


def test_the_two_norms_are_independent():
    G, D = both(IMAGES, norm="batch", discriminator_norm="layer")
    assert not any(isinstance(module, nn.LayerNorm) for module in G.modules())
    assert not any(isinstance(module, nn.BatchNorm1d) for module in D.modules())


@pytest.mark.parametrize(("init", "std"), [("normal", 0.02), ("he", (2 / 1.04 / 300) ** 0.5)])
def test_init_reaches_both_networks(init, std):
    model = Mlp(latent_dim=300, hidden=(300, 300), init=init)
    for network in (model.generator(DataSpec((300,))), model.discriminator(DataSpec((300,)))):
        assert network.layers[0].weight.std().item() == pytest.approx(std, rel=0.02)
        assert network.layers[0].bias.count_nonzero() == 0


@pytest.mark.parametrize(("norm", "mixes"), [("none", False), ("layer", False), ("batch", True)])
def test_declares_truthfully_whether_d_mixes_samples(norm, mixes):
    model = Mlp(**SMALL, discriminator_norm=norm, norm="batch")
    D = model.discriminator(IMAGES).double()
    x = torch.randn(6, 3, 4, 5, dtype=torch.float64)
    alone = torch.cat([D(x[:3]), D(x[3:])])
    assert model.mixes_samples is mixes
    assert torch.allclose(D(x), alone, rtol=1e-12, atol=1e-12) is not mixes


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_permuting_the_batch_permutes_the_scores(norm):
    D = Mlp(**SMALL, discriminator_norm=norm).discriminator(IMAGES).double()
    x, order = torch.randn(9, 3, 4, 5, dtype=torch.float64), torch.randperm(9)
    torch.testing.assert_close(D(x[order]), D(x)[order], rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------------------------------------------- labels


def test_conditional_networks_use_their_labels():
    G, D = both(IMAGES, conditional=True)
    z, x = torch.randn(1, 8).expand(7, 8), torch.randn(1, 3, 4, 5).expand(7, 3, 4, 5)
    y = torch.arange(7)
    assert len(G(z, y).flatten(1).unique(dim=0)) == 7
    assert len(D(x, y).unique()) == 7
    assert linears(G)[0] == (8 + 3, 12)
    assert linears(D)[0] == (60 + 3, 20)


def test_unconditional_networks_ignore_labels():
    G, D = both(IMAGES)
    z, y = torch.randn(3, 8), torch.tensor([0, 1, 2])
    x = G(z)
    assert torch.equal(G(z, y), x)
    assert torch.equal(D(x, y), D(x))


def test_conditional_networks_ask_for_missing_labels():
    G, D = both(IMAGES, conditional=True)
    with pytest.raises(ValueError, match=r"conditional.*labels"):
        G(torch.randn(3, 8))
    with pytest.raises(ValueError, match=r"conditional.*labels"):
        D(torch.randn(3, 3, 4, 5))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_conditional_on_data_without_labels_says_what_to_do(network):
    with pytest.raises(ComponentError, match=r"the data have none: .* set conditional = false"):
        getattr(Mlp(conditional=True), network)(DataSpec((6,)))


# ------------------------------------------------------------------------------------------ mistakes, states


@pytest.mark.parametrize(
    "options",
    [{"latent_dim": 0}, {"hidden": (8, 0)}, {"discriminator_hidden": (0,)}, {"embedding_dim": 0}],
    ids=lambda options: next(iter(options)),
)
def test_a_width_below_one_is_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Mlp(**options)


@pytest.mark.parametrize("norm", NORMS)
def test_bfloat16_autocast_gives_finite_scores(norm):
    G, D = both(IMAGES, norm=norm, discriminator_norm=norm, conditional=True)
    y = torch.arange(7)
    with torch.autocast("cpu", torch.bfloat16):
        score = D(G(torch.randn(7, 8), y), y)
    assert score.dtype == torch.bfloat16
    assert score.isfinite().all()


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), None])
def test_float64_stays_float64(bounds):
    G, D = both(DataSpec((6,), classes=7, range=bounds), conditional=True)
    y = torch.arange(7)
    x = G.double()(torch.randn(7, 8, dtype=torch.float64), y)
    assert (x.dtype, D.double()(x, y).dtype) == (torch.float64, torch.float64)


def test_state_dict_carries_everything():
    options = {"norm": "batch", "discriminator_norm": "batch", "conditional": True, "activation": "prelu"}
    G, D = both(IMAGES, **options)
    z, y = torch.randn(7, 8), torch.arange(7)
    D(G(z, y), y)  # moves the running statistics of batch norm
    other_G, other_D = both(IMAGES, **options)
    other_G.load_state_dict(G.state_dict())
    other_D.load_state_dict(D.state_dict())
    x = G.eval()(z, y)
    assert torch.equal(other_G.eval()(z, y), x)
    assert torch.equal(other_D.eval()(x, y), D.eval()(x, y))


def test_same_seed_same_networks():
    torch.manual_seed(3)
    first = both(IMAGES, init="orthogonal")
    torch.manual_seed(3)
    second = both(IMAGES, init="orthogonal")
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("init", ["default", "he", "xavier", "orthogonal", "normal"])
def test_builds_without_memory_on_the_meta_device(init):
    with torch.device("meta"):
        G, D = both(IMAGES, init=init, conditional=True)
        assert D(G(torch.randn(2, 8), y := torch.zeros(2, dtype=torch.int64)), y).shape == (2,)
    assert {p.device.type for p in [*G.parameters(), *D.parameters()]} == {"meta"}
