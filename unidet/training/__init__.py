"""The training loop: schedule, averaging, checkpoint and resume, logs."""
