"""The part of the package that measures, small enough to be copied to a device.

``python -m deploy.runner`` reads one request on standard input and answers with events on standard output; what is
said is defined in :mod:`deploy.runner.protocol`. Runtimes are touched in child processes only
(:mod:`deploy.runner.children`), so that one that crashes or hangs costs no more than its own figures.

Everything imported from here needs the standard library, numpy and the runtime itself, and runs on Python 3.9.
"""
