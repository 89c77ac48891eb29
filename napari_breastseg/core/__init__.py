"""What every room stands on: arrays with geometry, errors, progress, atomic files, the home folder.

Imports nothing of the other rooms.
"""
