"""Somebody's words in a page: one line, nothing but text."""

from html import escape

from gancore.health.entries import plain


def say(text: object) -> str:
    return escape(plain(str(text)))
