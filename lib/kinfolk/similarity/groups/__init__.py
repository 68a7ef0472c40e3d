"""Groups of connected items: found, kept from chaining, and followed from night to night."""
