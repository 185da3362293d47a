"""Pictures of a run's health, and the page that holds them. Needs matplotlib: `pip install 'gancore[report]'`.

page       one HTML file, readable offline
flow       gradient flow: layers against the signal
heat       layers over time
factors    A, B, C and their product
balance    AUC and diversity
depth      first layer / last layer, and update / weight
dead       dead units
samples    what the run drew at a few times
style, axes, limits, export   what the figures share
"""
