"""Cost models: what a layer of given widths and density takes on a runtime, from measurements."""
