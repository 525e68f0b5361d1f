"""Which file works where: a matrix of files, runtimes and device classes, every cell with its evidence."""
