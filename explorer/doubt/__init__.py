"""How sure an answer is: votes, calibration, novelty, prediction sets, thresholds, levels that agree."""
