"""Networks that estimate blur, their weights, and how they are run over an image."""
