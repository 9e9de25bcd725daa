"""NanoDet-Plus: a light dense detector that an auxiliary head teaches which cells to use."""
