"""What Coinbase says and wants to be asked."""
