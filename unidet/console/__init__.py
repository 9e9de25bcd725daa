"""Terminal output and interrupts: progress and Ctrl-C."""
