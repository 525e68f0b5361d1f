"""The prunability ladder's parts: references, columns (this engine, Torch-Pruning), processes, rows, table."""
