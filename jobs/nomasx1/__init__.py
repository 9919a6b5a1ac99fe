"""The steps of the nomasx1 jobs."""
