"""The training loop. Knows nothing of TOML, component names, files or screens.

streams    where randomness comes from
feed       batches of reals            latents    batches of z and labels
places     where they are wanted
player     a network, its optimizer, schedule and regularizers
objective  what a phase minimises: pure tensor code, for eager runs and for graphs
phases     one update of D, one update of G: the paper's Algorithm 1
tracing    a phase as one graph        draws      its random numbers, lifted out
simplify   it without its zeros        joinable   in operators that a compiler can join
compiled   by inductor; compiled_step, compiled_spreads: an optimizer's step, and how far it went
captured   whole phases as CUDA graphs: cuda_graphs records them, wayback undoes that
threads    how many, on the CPU        profiling  where the time of a step goes
ema        the averaged generator      precision  fp32, tf32, bf16
numbers    what the log will show, kept on the device until somebody looks
run        the loop around the phases, and everything that a checkpoint needs
"""
