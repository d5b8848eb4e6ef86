"""What clips are worth: judges that read attributes back from pixels, scores of models against the world's truth."""
