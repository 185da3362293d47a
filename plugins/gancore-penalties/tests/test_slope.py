import torch

from gancore_penalties.slope import norm, slope


def test_each_row_is_the_slope_at_one_sample(discriminators):
    D = discriminators["quadratic"](torch.tensor([[2.0, 0.0], [0.0, 5.0]]))
    x = torch.tensor([[1.0, 1.0], [0.0, -2.0]])
    assert slope(D, x, None).tolist() == [[2.0, 5.0], [0.0, -10.0]]


def test_images_are_flattened(discriminators):
    D = discriminators["linear"](torch.arange(12.0))
    assert slope(D, torch.zeros(2, 3, 2, 2), None).tolist() == [list(map(float, range(12)))] * 2


def test_the_norm_is_euclidean_by_sample():
    torch.testing.assert_close(norm(torch.tensor([[3.0, 4.0], [0.0, 2.0]])), torch.tensor([5.0, 2.0]))


def test_the_norm_of_zero_has_slope_zero():
    gradient = torch.zeros(1, 3, requires_grad=True)
    norm(gradient).sum().backward()
    assert gradient.grad.tolist() == [[0.0, 0.0, 0.0]]
