"""Analysis: what a run found, read from the database into plain data.

Selection, run data and comparison: what the commands, the reports and Python share.
Nothing here draws, prints or trains.
"""
