"""Made-up zones and machines for Liaocheng, and the account that shows them: what `lezgate demo` seeds."""
