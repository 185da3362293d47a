"""Text from a file or a command line, as a message may quote it."""

LONGEST = 2000  # characters; a message that lists every installed component stays below


def plain(text: str, longest: int = LONGEST) -> str:
    """Without characters that a terminal would obey or hide: those as Python writes them, such as `\\x1b`.

    What is too long is cut in its middle, since what is said about a text stands behind it.
    """
    if len(text) > longest:
        half = (longest - 3) // 2
        text = f"{text[:half]}...{text[-half:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
