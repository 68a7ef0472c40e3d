"""MLlib's FPGrowth from Parquet to Parquet, in a Spark session of its own."""

from __future__ import annotations

import os

from serving import serve

# A heap that was never touched would cost the first long run dear. Trees of large baskets are deep, and are written by
# a method that calls itself for each level: on threads of the usual size it ends with an overflow of the stack.
os.environ["PYSPARK_SUBMIT_ARGS"] = (
    "--driver-memory 12g --conf 'spark.driver.extraJavaOptions=-XX:+AlwaysPreTouch -Xss256m' pyspark-shell"
)

from pyspark.ml.fpm import FPGrowth
from pyspark.sql import SparkSession

SPARK = (
    SparkSession.builder.master("local[2]")
    .appName("mllib-rules")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()
)
SPARK.sparkContext.setLogLevel("ERROR")


def mine(source: str, target: str, support: float, confidence: float, partitions: int) -> int:
    """Write the frequent itemsets and the rules of the baskets; return how many partitions were asked for."""
    growth = FPGrowth(itemsCol="items", minSupport=support, minConfidence=confidence, numPartitions=partitions)
    model = growth.fit(SPARK.read.parquet(source))
    model.freqItemsets.write.mode("overwrite").parquet(f"{target}/itemsets")
    model.associationRules.write.mode("overwrite").parquet(f"{target}/rules")
    return partitions


serve({"mine": mine})
