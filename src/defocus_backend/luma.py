"""Definition of gray (luma)."""

LUMA = (0.298936021293776, 0.587043074451121, 0.114020904255103)
"""Rec. 601 weights of red, green and blue, as in MATLAB's rgb2gray."""
