"""Messages, requests and answers of Coinbase's feeds."""
