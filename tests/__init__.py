"""Tests; README.md beside this file says what is where, and how to run it."""
