"""What a run stands on: mesh, state, steps, optimiser, checkpoints, logs."""
