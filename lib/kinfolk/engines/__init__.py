"""The engines that carry the work: Spark sessions and Horovod ranks."""
