"""One finding a file: its measurement, its threshold, its cause and its remedy.

Thresholds are options, `[health.<name>]` in the experiment. They come from small experiments on vectors and on 8x8 to
32x32 images; they are warnings to look at, not laws.
"""
