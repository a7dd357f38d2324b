// Nothing: the block says all it needs.
