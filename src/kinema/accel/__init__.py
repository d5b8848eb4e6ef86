"""What acts on a built model to make it faster or smaller: one file each, with the measurement that keeps it here."""
