"""Synthetic images with ground truth: sharp photographs, blurred, composed and degraded as by optics and cameras."""
