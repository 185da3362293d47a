import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from gancore import ComponentError, Context
from gancore_augment.diffaugment import DiffAugment


def images(n=4, channels=3, height=8, width=8, dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    return torch.rand(n, channels, height, width, generator=rng, dtype=dtype) * 2 - 1


COLOR, TRANSLATION, CUTOUT = (DiffAugment(policy=(p,)) for p in ("color", "translation", "cutout"))
each = pytest.mark.parametrize(
    "augment", [COLOR, TRANSLATION, CUTOUT, DiffAugment()], ids=["color", "translation", "cutout", "all"]
)

# ----------------------------------------------------------------------------------------------------- color


def test_color_against_a_reference_with_the_same_draw(context):
    x = images()
    u = torch.rand(3, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shown = COLOR.discriminator_inputs(x, context(5))
    for i in range(4):
        brightness, saturation, contrast = u[0, i] - 0.5, u[1, i] * 2, u[2, i] + 0.5
        image = x[i] + brightness
        grey = image.sum(0) / 3
        image = saturation * image + (1 - saturation) * grey
        mean = image.sum() / 192
        torch.testing.assert_close(shown[i], contrast * image + (1 - contrast) * mean)


def test_the_mean_of_an_image_moves_by_its_brightness_alone_up_to_a_half(context):
    x = images(n=500)
    moved = (DiffAugment(policy=("color",)).discriminator_inputs(x, context()) - x).mean((1, 2, 3))
    assert moved.min() >= -0.5
    assert moved.max() <= 0.5
    assert moved.std().item() == pytest.approx(1 / 12**0.5, rel=0.1)


def test_saturation_does_nothing_to_a_single_channel(context):
    x = images(n=300, channels=1)
    shown = COLOR.discriminator_inputs(x, context())
    # What is left is the contrast: a factor in [1/2, 3/2] on the deviation from the image's mean.
    factor = shown.std((1, 2, 3)) / x.std((1, 2, 3))
    assert factor.min() >= 0.5
    assert factor.max() <= 1.5
    assert factor.std().item() == pytest.approx(1 / 12**0.5, rel=0.15)


def test_saturation_scales_the_differences_between_channels_up_to_twofold(context):
    x = images(n=500)
    shown = COLOR.discriminator_inputs(x, context())
    factor = (shown[:, 0] - shown[:, 1])[:, 0, 0] / (x[:, 0] - x[:, 1])[:, 0, 0]
    assert factor.min() >= 0
    assert factor.max() <= 3  # saturation up to 2 times contrast up to 3/2
    assert factor.mean().item() == pytest.approx(1.0, abs=0.1)


# ----------------------------------------------------------------------------------------------- translation


def test_a_pixel_moves_by_whole_pixels_and_what_moves_in_is_zero(context):
    x = torch.zeros(1000, 1, 16, 8)
    x[:, :, 7, 3] = 1
    shown = TRANSLATION.discriminator_inputs(x, context())
    assert shown.sum((1, 2, 3)).tolist() == [1.0] * 1000
    row, column = shown[:, 0].nonzero()[:, 1:].unbind(1)
    assert (row - 7).unique().tolist() == [-2, -1, 0, 1, 2]  # an eighth of 16
    assert (column - 3).unique().tolist() == [-1, 0, 1]  # an eighth of 8


def test_shifts_are_equally_likely(context):
    x = torch.zeros(5000, 1, 16, 16)
    x[:, :, 8, 8] = 1
    row = TRANSLATION.discriminator_inputs(x, context())[:, 0].nonzero()[:, 1]
    shares = torch.bincount(row - 6, minlength=5) / 5000
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.02, rtol=0)


@given(seed=st.integers(0, 10_000), height=st.integers(4, 12), width=st.integers(4, 12))
@settings(max_examples=25, deadline=None)
def test_every_image_is_a_window_of_itself_framed_in_zeros(seed, height, width):
    x = images(n=2, channels=2, height=height, width=width)
    stream = Context(rng=torch.Generator().manual_seed(seed), step=torch.tensor(0.0), steps=1)
    shown = DiffAugment(policy=("translation",), translation=0.25).discriminator_inputs(x, stream)
    my, mx = round(0.25 * height), round(0.25 * width)
    for image, result in zip(x, shown, strict=True):
        framed = torch.zeros(2, height + 2 * my, width + 2 * mx, dtype=x.dtype)
        framed[:, my : my + height, mx : mx + width] = image
        windows = framed.unfold(1, height, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        assert (windows == result).flatten(1).all(1).any()


def test_no_shift_is_no_change(context):
    x = images()
    assert torch.equal(DiffAugment(policy=("translation",), translation=0.0).discriminator_inputs(x, context()), x)


# ---------------------------------------------------------------------------------------------------- cutout


def test_the_hole_is_a_square_of_half_the_side_that_may_stick_out(context):
    holes = CUTOUT.discriminator_inputs(torch.ones(500, 2, 8, 8), context()) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])  # the same in every channel
    rows, columns = holes[:, 0].any(2), holes[:, 0].any(1)
    assert torch.equal(holes[:, 0], rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        assert sorted(side.sum(1).unique().tolist()) == [2, 3, 4]
        edges = side.int().diff(dim=1).abs().sum(1)
        assert edges.max() <= 2  # one piece


@pytest.mark.parametrize(("cutout", "first"), [(0.5, range(-2, 7)), (0.375, range(-1, 7))])
def test_the_hole_reaches_both_borders_alike(cutout, first, context):
    size = round(8 * cutout)
    holes = DiffAugment(policy=("cutout",), cutout=cutout).discriminator_inputs(torch.ones(2000, 1, 8, 8), context())
    rows = {tuple((hole == 0).any(1).nonzero().flatten().tolist()) for hole in holes[:, 0]}
    assert rows == {tuple(i for i in range(f, f + size) if 0 <= i < 8) for f in first}


def test_all_else_is_untouched(context):
    x = images()
    shown = CUTOUT.discriminator_inputs(x, context())
    assert torch.equal(shown[shown != 0], x[shown != 0])
    assert (shown == 0).any()


@pytest.mark.parametrize(("cutout", "size"), [(0.0, 0), (0.375, 3), (0.5, 4), (1.0, 8)])
def test_the_size_of_the_hole(cutout, size, context):
    shown = DiffAugment(policy=("cutout",), cutout=cutout).discriminator_inputs(torch.ones(300, 1, 8, 8), context())
    assert (shown == 0).sum((1, 2, 3)).max() == size * size


# ------------------------------------------------------------------------------------------------------- all


def test_the_policy_is_applied_in_its_order(context):
    x = images(n=2)
    stream = context(4)
    expected = COLOR.discriminator_inputs(CUTOUT.discriminator_inputs(x, stream), stream)
    shown = DiffAugment(policy=("cutout", "color")).discriminator_inputs(x, context(4))
    assert torch.equal(shown, expected)


def test_unless_told_otherwise_it_does_all_three():
    assert DiffAugment().policy == ("color", "translation", "cutout")


@each
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shape_and_dtype_stay(augment, channels, context):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = images(channels=channels, height=6, width=9, dtype=torch.float32).to(dtype)
        shown = augment.discriminator_inputs(x, context())
        assert shown.shape == x.shape
        assert shown.dtype == dtype


@each
def test_first_and_second_derivatives_agree_with_finite_differences(augment, context):
    x = images(n=2, channels=2, height=4, width=5).requires_grad_()
    assert gradcheck(lambda x: augment.discriminator_inputs(x, context(3)), (x,))
    assert gradgradcheck(lambda x: augment.discriminator_inputs(x, context(3)), (x,))


@each
def test_samples_are_changed_differently(augment, context):
    x = images(n=1, height=16, width=16).expand(8, -1, -1, -1)
    shown = augment.discriminator_inputs(x, context(1))
    assert len({tuple(image.flatten().tolist()) for image in shown}) > 1


@each
def test_one_samples_result_does_not_depend_on_the_others(augment, context):
    x = images()
    other = x.clone()
    other[1:] = 0
    assert torch.equal(augment.discriminator_inputs(x, context())[0], augment.discriminator_inputs(other, context())[0])


@each
def test_the_same_stream_gives_the_same_bits_and_no_other_stream_is_drawn_from(augment, context):
    before = torch.get_rng_state()
    first, second = (augment.discriminator_inputs(images(), context(2)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_the_input_is_not_changed(augment, context):
    x = images()
    augment.discriminator_inputs(x, context())
    assert torch.equal(x, images())


def test_vectors_are_refused_with_a_word_on_what_to_do(context):
    with pytest.raises(ComponentError, match=r"images \(C, H, W\).*shape \(2,\).*instance-noise"):
        DiffAugment().discriminator_inputs(torch.zeros(5, 2), context())


@pytest.mark.parametrize(
    "options",
    [{"policy": ()}, {"translation": -0.1}, {"translation": 1.1}, {"cutout": -0.1}, {"cutout": 1.1}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DiffAugment(**options)
