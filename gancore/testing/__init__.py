"""The contract kit: what every component has to hold, as separate checks that say what to do.

    from gancore.testing import parametrize_with_checks

    @parametrize_with_checks("my-gan-losses")
    def test_contract(check):
        check()

makes one named test case of each check of each component that the distribution offers. Without pytest:
`gancore check-plugin my-gan-losses`.

    kit           Check, Violation, and which checks a component gets
    materials     networks, batches and data specs to try components on
    common        what holds for every kind: options, docstring, schema, imports
    models, losses, optimizers, regularizers, datasets, metrics, callbacks, rules    what holds for one kind
    device_safe   runs step-time code without a device and names the line that synchronises
"""

from gancore.testing.kit import Check, NotHere, Violation, checks_of, parametrize_with_checks

__all__ = ["Check", "NotHere", "Violation", "checks_of", "parametrize_with_checks"]
