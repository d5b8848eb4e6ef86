"""Types that everything shares. Standard library only; imports nothing of Kinema's other rooms."""
