"""Network pruning spaces (NPS): populations of ways to prune one network, compared by their distributions of errors.

Source: He et al. 2023, Network Pruning Spaces (arXiv, version 1). Known are its ideas: populations of subnetworks in
regimes of compute, distributions compared rather than single winners, an optimal ratio of MACs to parameters in each
regime, a space refined by it. All definitions here are a reconstruction of these; see docs/methods.md.
"""
