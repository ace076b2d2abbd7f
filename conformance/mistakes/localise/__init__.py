"""Where is it wrong?  What can be said of a wrong result for certain when no catalogued mistake explains it.

``looks``       an implementation asked on one problem after another, within a budget
``repeats``     does it differ from call to call?
``patterns``    sentences with their test; ``values``, ``places``, ``parts`` (``rules``) are kinds of them
``features``    what makes it right; ``thresholds`` (``axes``): from which size on it is wrong
``numeric``     only data that round are wrong
``story``       all of that in order
"""

from conformance.mistakes.localise.story import localise

__all__ = ["localise"]
