"""The step Correct."""
