"""What a job executes: pretraining, adaptation, evaluation. torch from here down."""
