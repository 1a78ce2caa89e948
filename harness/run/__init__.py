"""What a job executes: pretraining, adaptation and evaluation. torch lives from here down."""
