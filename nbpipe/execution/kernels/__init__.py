"""One kernel: forked or spawned, guarded, spoken to, ended with all that it started.

Which notebook it is for, and what its answers mean for the verdict, must not enter here.
"""
