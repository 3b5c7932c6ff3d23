"""Evaluation: alerts against truth or verdicts, and the probability of detection at a site."""
