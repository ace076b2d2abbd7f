"""Who is ASKED: what an adapter is, how one is found and connected, and whether it is wired rightly."""
