"""Where files can be measured: here, or on another machine."""
