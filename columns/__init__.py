"""Column types shared by every room: plural nouns are columns, rows join by index. Imports nothing of lezgate."""
