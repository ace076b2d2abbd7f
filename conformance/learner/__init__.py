"""A LEARNER's file, judged as it is: found, tried out until it is known how to call it, and gone through step by step."""
