"""Tables: their contracts, how Spark writes them, how they are read without a JVM."""
