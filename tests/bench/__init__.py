"""What the program's numbers are on this machine, beside what the design says they should hold: `make bench`.

Figures only: nothing is asserted here, because a machine that others use as well would fail by chance.
"""
