"""What a run stands on: set-up, loop, data, steps, checkpoints, logs."""
