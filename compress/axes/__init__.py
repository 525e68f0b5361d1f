"""The axis engine: which indices of which tensors belong together, what may be removed, and how to remove it."""
