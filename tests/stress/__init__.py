"""Long runs: soak, outage, kill, fuzz."""
