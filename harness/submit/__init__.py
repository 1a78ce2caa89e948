"""Turning a plan into jobs: in this process, in a pool of workers, or on SLURM."""
