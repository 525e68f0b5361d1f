"""Sparse weights that run faster in ONNX Runtime: the operators' library, how zeros are stored, and the pass."""
