"""What the Python tasks of Spark need, whatever they do: where they run, what they are sent, and how they answer."""
