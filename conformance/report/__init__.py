"""What is SHOWN: a run's records as JSON lines, and the tables made from them."""
