"""What is fitted on labels: CNNs, boosters, calibration, thresholds and the stack."""
