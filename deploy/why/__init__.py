"""Why is one file not faster than the other? Operators side by side, what bounds each, and what would pay."""
