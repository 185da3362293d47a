"""Small handwritten digits for gancore, embedded."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_datasets() -> Iterable[Component]:
    return [Component("digits", "gancore_digits.digits:Digits", "1,797 grey digits, 8x8; no download.")]
