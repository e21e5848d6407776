"""The fence, its rules and its decisions."""
