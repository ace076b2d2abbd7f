"""The RUN: corpus, strategies, judging, findings, shrinking; a stream of events, no printing."""
