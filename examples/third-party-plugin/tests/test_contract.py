"""gancore's contract kit, on every component of this distribution."""

from gancore.testing import Check, parametrize_with_checks


@parametrize_with_checks("wgan-div")
def test_contract(check: Check) -> None:
    check()
