"""Where is it wrong?  What can be said for certain of a failure that no catalogued mistake explains."""

from conformance.mistakes.localise.story import localise

__all__ = ["localise"]
