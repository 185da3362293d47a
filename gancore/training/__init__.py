"""The training loop. Knows nothing of TOML, component names, files or screens.

streams    where randomness comes from
feed       batches of reals            latents    batches of z and labels
player     a network, its optimizer, schedule and regularizers
phases     one update of D, one update of G: the paper's Algorithm 1
ema        the averaged generator      precision  fp32, tf32, bf16
numbers    what the log will show, kept on the device until somebody looks
run        the loop around the phases, and everything that a checkpoint needs
"""
