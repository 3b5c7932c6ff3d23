"""What we can know about ourselves: simulation, sensitivity, evaluation."""
