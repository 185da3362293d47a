"""Pictures of a run's health, and the page that holds them. Needs matplotlib: `pip install 'gancore[report]'`.

page       one HTML file, readable offline: head, findings, figures
flow       gradient flow: layers against the signal
factors    A, B, C and their product
heat       layers over time
balance    AUC and diversity
depth      first layer / last layer, and update / weight
dead       dead units
samples    what the run drew at a few times

Shared: style (colours), axes (steps), logscale, marks (of findings), limits (thresholds), few, escaped, export.
"""
