"""What tests/run --parts has fetched, found also by who runs a check alone."""
import os
import pathlib
import shutil
import sys


def folder():
    own, cache = os.environ.get("TOLLGATE_PARTS"), os.environ.get("XDG_CACHE_HOME")
    return pathlib.Path(own) if own else pathlib.Path(cache or pathlib.Path.home() / ".cache", "tollgate-parts")


def tool(name):
    return shutil.which(name) or shutil.which(name, path=folder() / name / "usr/bin")


def jars():
    """The folder of Kafka's jars."""
    return next((jar.parent for jar in folder().glob("kafka-*/kafka-server-4*.jar")), None)


sys.path.append(str(folder() / "python"))
