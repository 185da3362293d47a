"""The model dcgan: the paper's architecture and initial weights, gradients, labels, and refused data."""

from itertools import product

import pytest
import torch
from torch import nn

from gancore import ComponentError, DataSpec
from gancore_dcgan.dcgan import Dcgan
from gancore_dcgan.networks import widths_of

DATA = DataSpec((3, 16, 16), classes=7)
SMALL = {"latent_dim": 8, "width": 4, "embedding_dim": 3}
NORMS = ["none", "batch", "layer"]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def both(data=DATA, **options):
    model = Dcgan(**{**SMALL, **options})
    return model.generator(data), model.discriminator(data)


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


# ---------------------------------------------------------------------------------------------- architecture


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shapes(size, channels):
    data = DataSpec((channels, size, size))
    G, D = both(data, width=2)
    x = G(torch.randn(2, 8))
    assert x.shape == (2, channels, size, size)
    assert D(x).shape == (2,)


def test_one_sample_gives_one_score():
    G, D = both()
    assert D(G(torch.randn(1, 8))).shape == (1,)


@pytest.mark.parametrize(
    ("width", "size", "widths"),
    [
        (64, 16, [128, 64]),
        (64, 32, [256, 128, 64]),
        (128, 64, [1024, 512, 256, 128]),  # figure 1 of the paper
        (64, 128, [512, 512, 256, 128, 64]),
        (10, 256, [80, 80, 80, 40, 20, 10]),
    ],
)
def test_channels_double_towards_four_pixels_up_to_eight_times(width, size, widths):
    assert widths_of(width, size) == widths


def test_number_of_parameters_at_64_pixels():
    with torch.device("meta"):
        model = Dcgan()
        G, D = model.generator(DataSpec((3, 64, 64))), model.discriminator(DataSpec((3, 64, 64)))
    weights = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert size_of(G) == weights + 16 * 100 * 512 + 2 * (512 + 256 + 128 + 64) + 3
    assert size_of(D) == weights + 16 * 512 + 2 * (512 + 256 + 128) + 64 + 1


def test_layers_of_the_generator():
    G, _ = both()
    assert [type(layer) for layer in G.layers] == [
        nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU,
        nn.ConvTranspose2d, nn.Tanh,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("norm", "layers"), [("none", []), ("batch", [nn.BatchNorm2d]), ("layer", [nn.GroupNorm])], ids=NORMS
)
def test_layers_of_the_discriminator(norm, layers):
    _, D = both(discriminator_norm=norm)
    kinds = [type(layer) for layer in D.features]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d, *layers, nn.LeakyReLU]
    assert {layer.negative_slope for layer in D.features if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_layer_norm_is_over_channels_and_pixels_of_one_sample():
    _, D = both(discriminator_norm="layer")
    x = D.features[:4](torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert x.var((1, 2, 3), correction=0).tolist() == pytest.approx([1, 1], abs=0.15)  # eps weighs on small x


def test_generator_without_norm_has_biases_instead():
    G, _ = both(generator_norm="none")
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules())
    assert all(layer.bias is not None for layer in G.layers if isinstance(layer, nn.ConvTranspose2d))


def test_output_is_within_minus_one_and_one():
    G, _ = both(generator_norm="none")
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(100)
    x = G(torch.randn(20, 8))
    assert (x.min().item(), x.max().item()) == (-1, 1)


# ------------------------------------------------------------------------------------------- initial weights


def wide(**options):
    model = Dcgan(width=64, latent_dim=100, **options)
    data = DataSpec((3, 32, 32), classes=200)
    return model.generator(data), model.discriminator(data)


def test_weights_are_drawn_with_standard_deviation_002():
    for network in wide():
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                n = layer.weight.numel()
                # Seven sigma of a standard deviation and of a mean that come from n draws.
                assert layer.weight.std().item() == pytest.approx(0.02, rel=7 / (2 * n) ** 0.5)
                assert layer.weight.mean().item() == pytest.approx(0, abs=7 * 0.02 / n**0.5)


def test_gains_of_batch_norm_are_drawn_around_one():
    G, D = wide()
    gains = torch.cat([m.weight for n in (G, D) for m in n.modules() if isinstance(m, nn.BatchNorm2d)])
    assert len(gains) == 256 + 128 + 64 + 128 + 256
    assert gains.mean().item() == pytest.approx(1, abs=0.005)
    assert gains.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("norm", NORMS)
def test_biases_start_at_zero(norm):
    G, D = both(discriminator_norm=norm, generator_norm="none")
    biases = [p for network in (G, D) for name, p in network.named_parameters() if name.endswith("bias")]
    assert biases
    assert all(bias.count_nonzero() == 0 for bias in biases)


def test_gains_of_layer_norm_start_at_one():
    _, D = both(discriminator_norm="layer")
    assert D.features[3].weight.tolist() == [1] * 8


def test_label_embeddings_start_at_the_scale_of_what_they_stand_beside():
    G, D = wide(conditional=True)
    assert G.label.weight.std().item() == pytest.approx(1, rel=0.1)
    assert D.label.weight.std().item() == pytest.approx(0.02, rel=0.02)


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("generator_norm", "discriminator_norm", "conditional"),
    list(product(NORMS[:2], NORMS, [False, True])),
    ids=str,
)
def test_finite_gradients_reach_every_parameter(generator_norm, discriminator_norm, conditional):
    G, D = both(generator_norm=generator_norm, discriminator_norm=discriminator_norm, conditional=conditional)
    y = torch.arange(14) % 7
    (D(G(torch.randn(14, 8), y), y) + 1).square().sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_score_has_a_second_derivative_for_gradient_penalties(norm):
    D = Dcgan(width=1, discriminator_norm=norm).discriminator(DataSpec((1, 16, 16))).double()
    with torch.no_grad():
        for parameter in D.parameters():
            parameter.normal_()
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(D, (x,), fast_mode=True)


@pytest.mark.parametrize(("norm", "mixes"), [("none", False), ("layer", False), ("batch", True)])
def test_declares_truthfully_whether_d_mixes_samples(norm, mixes):
    model = Dcgan(**SMALL, discriminator_norm=norm)
    D = model.discriminator(DATA).double()
    x = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    alone = torch.cat([D(x[:3]), D(x[3:])])
    assert model.mixes_samples is mixes
    assert torch.allclose(D(x), alone, rtol=1e-10, atol=1e-12) is not mixes


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_permuting_the_batch_permutes_the_scores(norm):
    D = Dcgan(**SMALL, discriminator_norm=norm).discriminator(DATA).double()
    x, order = torch.randn(9, 3, 16, 16, dtype=torch.float64), torch.randperm(9)
    torch.testing.assert_close(D(x[order]), D(x)[order], rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------------------------------------- labels


def test_conditional_networks_use_their_labels():
    G, D = both(conditional=True, discriminator_norm="none")
    z, x = torch.randn(1, 8).expand(7, 8), torch.randn(1, 3, 16, 16).expand(7, 3, 16, 16)
    y = torch.arange(7)
    assert len(G(z, y).flatten(1).unique(dim=0)) == 7
    assert len(D(x, y).unique()) == 7


def test_score_is_the_unconditional_one_plus_the_projection():
    _, D = both(conditional=True, discriminator_norm="none")
    D = D.double()
    x, y = torch.randn(2, 3, 16, 16, dtype=torch.float64), torch.tensor([4, 1])
    features = D.features(x)
    expected = [
        D.score(features)[n, 0, 0, 0].item()
        + sum(
            D.label.weight[y[n], c].item() * features[n, c, i, j].item()
            for c, i, j in product(range(8), range(4), range(4))
        )
        for n in range(2)
    ]
    assert D(x, y).tolist() == pytest.approx(expected, rel=1e-12)


def test_unconditional_networks_ignore_labels():
    G, D = both(discriminator_norm="none")
    z, y = torch.randn(3, 8), torch.tensor([0, 1, 2])
    x = G(z)
    assert torch.equal(G(z, y), x)
    assert torch.equal(D(x, y), D(x))


def test_conditional_networks_ask_for_missing_labels():
    G, D = both(conditional=True)
    with pytest.raises(ValueError, match=r"conditional.*labels"):
        G(torch.randn(3, 8))
    with pytest.raises(ValueError, match=r"conditional.*labels"):
        D(torch.randn(3, 3, 16, 16))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_conditional_on_data_without_labels_says_what_to_do(network):
    with pytest.raises(ComponentError, match=r"the data have none: .* set conditional = false"):
        getattr(Dcgan(conditional=True), network)(DataSpec((3, 16, 16)))


# ---------------------------------------------------------------------------------- refused data and options


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 28, 28), r"not 28 x 28: set size = 32 under \[data\]"),
        ((3, 33, 33), r"not 33 x 33: set size = 64 under \[data\]"),
        ((3, 32, 64), r"not 32 x 64: set size = 64 under \[data\]"),
        ((3, 48, 32), r"not 48 x 32: set size = 64 under \[data\]"),
        ((1, 8, 8), r"not 8 x 8: set size = 16 under \[data\]"),
        ((5, 32, 32), r"not 5 channels: choose other data"),
        ((0, 32, 32), r"not 0 channels: choose other data"),
        ((2,), r'not vectors of shape \(2,\): set name = "mlp" under \[model\]'),
    ],
    ids=str,
)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_data_it_cannot_make_are_refused_with_what_to_do(shape, message, network):
    with pytest.raises(ComponentError, match=r"16, 32, 64, \.\.\. pixels with 1 to 4 channels.*" + message):
        getattr(Dcgan(), network)(DataSpec(shape))


@pytest.mark.parametrize("name", ["latent_dim", "width", "embedding_dim"])
def test_a_width_below_one_is_refused_by_name(name):
    with pytest.raises(ValueError, match=name):
        Dcgan(**{name: 0})


# ----------------------------------------------------------------------------- precision, states and devices


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("conditional", [False, True])
def test_bfloat16_autocast_gives_finite_scores(norm, conditional):
    G, D = both(discriminator_norm=norm, conditional=conditional)
    y = torch.arange(7)
    with torch.autocast("cpu", torch.bfloat16):
        x = G(torch.randn(7, 8), y)
        score = D(x, y)
    assert x.dtype == torch.bfloat16
    assert score.isfinite().all()


def test_float64_stays_float64():
    G, D = both(conditional=True)
    y = torch.arange(7)
    x = G.double()(torch.randn(7, 8, dtype=torch.float64), y)
    assert (x.dtype, D.double()(x, y).dtype) == (torch.float64, torch.float64)


def test_state_dict_carries_everything():
    G, D = both(conditional=True)
    z, y = torch.randn(7, 8), torch.arange(7)
    D(G(z, y), y)  # moves the running statistics of batch norm
    other_G, other_D = both(conditional=True)
    other_G.load_state_dict(G.state_dict())
    other_D.load_state_dict(D.state_dict())
    x = G.eval()(z, y)
    assert torch.equal(other_G.eval()(z, y), x)
    assert torch.equal(other_D.eval()(x, y), D.eval()(x, y))


def test_same_seed_same_networks():
    torch.manual_seed(3)
    first = both(conditional=True)
    torch.manual_seed(3)
    second = both(conditional=True)
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("norm", NORMS)
def test_builds_and_runs_without_memory_on_the_meta_device(norm):
    with torch.device("meta"):
        data = DataSpec((3, 1024, 1024), classes=7)
        G, D = both(data, width=64, discriminator_norm=norm, conditional=True)
        score = D(G(torch.randn(2, 8), y := torch.zeros(2, dtype=torch.int64)), y)
    assert (score.shape, score.device.type) == ((2,), "meta")
    assert {p.device.type for p in [*G.parameters(), *D.parameters()]} == {"meta"}
