"""The nouns: what every other floor speaks of. Pure values, no effects."""
