"""What a person sees and presses: progress and Ctrl-C."""
