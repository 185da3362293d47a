import torch

from gancore_losses.lsgan import LsGan


def test_hand_computed_with_the_papers_half():
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([3.0, 0.0])
    # D: 1/2 (1 + 0)/2 + 1/2 (9 + 0)/2;  G: 1/2 (4 + 1)/2.
    assert LsGan().discriminator(real, fake).item() == 2.5
    assert LsGan().generator(None, fake).item() == 1.25


def test_the_targets_are_a_b_and_c():
    loss = LsGan(fake_target=-1.0, real_target=2.0, generator_target=0.5)
    zero = torch.zeros(1)
    assert loss.discriminator(zero, zero).item() == 2.5  # 1/2 2^2 + 1/2 1^2
    assert loss.discriminator(torch.tensor([2.0]), torch.tensor([-1.0])).item() == 0
    assert loss.generator(None, zero).item() == 0.125
    assert loss.generator(None, torch.tensor([0.5])).item() == 0


def test_the_best_score_where_reals_and_fakes_mix_equally_is_between_the_targets():
    score = torch.tensor([0.5], requires_grad=True)
    LsGan().discriminator(score, score).backward()
    assert score.grad.item() == 0


def test_scores_have_no_boundary_at_zero():
    assert LsGan.boundary == "none"
