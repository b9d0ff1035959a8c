"""A batch under Spark: two executors, objects dealt out among them, manifest lines collected.

Called by tests/fleet/run with the command of a task and the list of objects; prints the manifest.
"""

import sys

from pyspark import SparkConf, SparkContext

command, listed = sys.argv[1:]
with open(listed, encoding="utf-8") as file:
    paths = file.read().splitlines()
conf = SparkConf().setMaster("local-cluster[2,1,512]").setAppName("batch")
conf.set("spark.executor.memory", "512m").set("spark.ui.enabled", "false")
context = SparkContext(conf=conf)
context.setLogLevel("ERROR")
# Without checkCode, a process that fails or never starts counts as an empty result.
manifest = context.parallelize(paths, len(paths) // 3).pipe(command, checkCode=True).collect()
context.stop()
print("\n".join(manifest))
