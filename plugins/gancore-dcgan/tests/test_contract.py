"""The contract kit on every component of this distribution."""

from gancore.testing import Check, parametrize_with_checks


@parametrize_with_checks("gancore-dcgan")
def test_contract(check: Check) -> None:
    check()
