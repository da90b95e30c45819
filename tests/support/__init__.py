"""Helpers of the tests, one for each job."""
