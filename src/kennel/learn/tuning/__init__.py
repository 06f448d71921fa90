"""A study: many runs, each with other settings, chosen by what the ones before gave.

The only room that knows Optuna. No trial can read the test split: the index it is given has none.
"""
