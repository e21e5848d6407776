"""Terminal protocols: bytes in, columns and answers out. One folder per protocol; `contract` is what they share."""
