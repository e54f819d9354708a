"""Measurement of the accuracy of defocus maps against a known ground truth."""
